-- What queuectl doctor asks of SQLite. The server tells other things, and in other words.

-- name: server
SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
       (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS bytes, {now} AS now_at;

-- name: transactions
-- Nobody can ask SQLite who has a transaction.
SELECT 0 AS pid, '' AS user, '' AS application, '' AS address, '' AS state, 0.0 AS age WHERE :age < 0;

-- name: tables
-- How many rows each table has is known to nobody; neither is how much room it takes, but by reading it.
SELECT name, 0 AS living, 0 AS dead, NULL AS bytes, 1 AS autovacuum FROM sqlite_master
WHERE type = 'table' AND name LIKE 'queued~_%' ESCAPE '~' AND :schema IS NOT NULL ORDER BY name;
