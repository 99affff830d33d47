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

-- name: rows
-- How many rows each table has, as far as to the cap.
SELECT 'queued_jobs' AS name, count(*) AS n FROM (SELECT 1 FROM queued.jobs LIMIT :cap)
UNION ALL
SELECT 'queued_ready' AS name, count(*) AS n FROM (SELECT 1 FROM queued.ready LIMIT :cap)
UNION ALL
SELECT 'queued_scheduled' AS name, count(*) AS n FROM (SELECT 1 FROM queued.scheduled LIMIT :cap)
UNION ALL
SELECT 'queued_claimed' AS name, count(*) AS n FROM (SELECT 1 FROM queued.claimed LIMIT :cap)
UNION ALL
SELECT 'queued_failed' AS name, count(*) AS n FROM (SELECT 1 FROM queued.failed LIMIT :cap)
UNION ALL
SELECT 'queued_finished' AS name, count(*) AS n FROM (SELECT 1 FROM queued.finished LIMIT :cap)
UNION ALL
SELECT 'queued_attempts' AS name, count(*) AS n FROM (SELECT 1 FROM queued.attempts LIMIT :cap)
UNION ALL
SELECT 'queued_queues' AS name, count(*) AS n FROM (SELECT 1 FROM queued.queues LIMIT :cap)
UNION ALL
SELECT 'queued_processes' AS name, count(*) AS n FROM (SELECT 1 FROM queued.processes LIMIT :cap)
UNION ALL
SELECT 'queued_recurring_tasks' AS name, count(*) AS n FROM (SELECT 1 FROM queued.recurring_tasks LIMIT :cap)
UNION ALL
SELECT 'queued_recurring_owners' AS name, count(*) AS n FROM (SELECT 1 FROM queued.recurring_owners LIMIT :cap)
UNION ALL
SELECT 'queued_recurring_runs' AS name, count(*) AS n FROM (SELECT 1 FROM queued.recurring_runs LIMIT :cap)
UNION ALL
SELECT 'queued_heartbeats' AS name, count(*) AS n FROM (SELECT 1 FROM queued.heartbeats LIMIT :cap)
UNION ALL
SELECT 'queued_limits' AS name, count(*) AS n FROM (SELECT 1 FROM queued.limits LIMIT :cap)
UNION ALL
SELECT 'queued_slots' AS name, count(*) AS n FROM (SELECT 1 FROM queued.slots LIMIT :cap)
UNION ALL
SELECT 'queued_job_limits' AS name, count(*) AS n FROM (SELECT 1 FROM queued.job_limits LIMIT :cap)
UNION ALL
SELECT 'queued_blocked' AS name, count(*) AS n FROM (SELECT 1 FROM queued.blocked LIMIT :cap)
UNION ALL
SELECT 'queued_unique_keys' AS name, count(*) AS n FROM (SELECT 1 FROM queued.unique_keys LIMIT :cap)
UNION ALL
SELECT 'queued_job_uniques' AS name, count(*) AS n FROM (SELECT 1 FROM queued.job_uniques LIMIT :cap)
UNION ALL
SELECT 'queued_expiries' AS name, count(*) AS n FROM (SELECT 1 FROM queued.expiries LIMIT :cap)
UNION ALL
SELECT 'queued_rates' AS name, count(*) AS n FROM (SELECT 1 FROM queued.rates LIMIT :cap)
UNION ALL
SELECT 'queued_job_rates' AS name, count(*) AS n FROM (SELECT 1 FROM queued.job_rates LIMIT :cap)
UNION ALL
SELECT 'queued_checkpoints' AS name, count(*) AS n FROM (SELECT 1 FROM queued.checkpoints LIMIT :cap)
UNION ALL
SELECT 'queued_batches' AS name, count(*) AS n FROM (SELECT 1 FROM queued.batches LIMIT :cap)
UNION ALL
SELECT 'queued_batch_jobs' AS name, count(*) AS n FROM (SELECT 1 FROM queued.batch_jobs LIMIT :cap)
UNION ALL
SELECT 'queued_audit' AS name, count(*) AS n FROM (SELECT 1 FROM queued.audit LIMIT :cap)
UNION ALL
SELECT 'queued_interruptions' AS name, count(*) AS n FROM (SELECT 1 FROM queued.interruptions LIMIT :cap)
UNION ALL
SELECT 'queued_migrations' AS name, count(*) AS n FROM (SELECT 1 FROM queued.migrations LIMIT :cap);
