-- name: record
-- An attempt that did not end well.
INSERT INTO queued.attempts (job_id, attempt, policy, error_class, message, backtrace, hostname, process_name, started_at, ended_at)
SELECT :job_id, :attempt, :policy, :error_class, :message, :backtrace, :hostname, :process_name,
       COALESCE(:started_at::timestamptz, moment - (:ended_ago::float8 + :duration::float8) * interval '1 second'),
       moment - :ended_ago::float8 * interval '1 second'
FROM (SELECT {now} AS moment) AS clock
ON CONFLICT (job_id, attempt) DO NOTHING
