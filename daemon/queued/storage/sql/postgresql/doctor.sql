-- What queuectl doctor asks of the server. SQLite tells other things, and in other words.

-- name: server
SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes, current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('autovacuum') AS autovacuum,
       current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint AS allowed,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       pg_database_size(current_database()) AS bytes, clock_timestamp() AS now_at;

-- name: transactions
-- Transactions that have been open for more than :age seconds, the prepared ones among them.
SELECT pid::bigint AS pid, COALESCE(usename, '')::text AS user, COALESCE(application_name, '') AS application,
       COALESCE(host(client_addr), '') AS address, COALESCE(state, 'busy') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - :age::float8 * interval '1 second'
UNION ALL
SELECT 0, owner::text, gid, '', 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - :age::float8 * interval '1 second';

-- name: tables
-- Living and dead rows of our tables, and how much room each takes.
SELECT s.relname::text AS name, s.n_live_tup AS living, s.n_dead_tup AS dead, pg_total_relation_size(s.relid) AS bytes,
       NOT COALESCE(array_to_string(c.reloptions, ',') LIKE '%autovacuum_enabled=false%', false) AS autovacuum
FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
WHERE s.schemaname = :schema::text ORDER BY s.relname;

-- name: rows
-- The server keeps an estimate of each, which costs nothing.
SELECT relname::text AS name, n_live_tup AS n FROM pg_stat_user_tables WHERE :cap > 0;
