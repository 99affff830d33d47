-- name: record
-- An attempt that did not end well.
INSERT INTO queued.attempts (job_id, attempt, policy, error_class, message, backtrace, hostname, process_name, started_at, ended_at)
SELECT :job_id, :attempt, :policy, :error_class, :message, :backtrace, :hostname, :process_name,
       COALESCE(:started_at, moment - CAST((:ended_ago + :duration) * 1000000 AS INTEGER)),
       moment - CAST(:ended_ago * 1000000 AS INTEGER)
FROM (SELECT {now} AS moment) AS clock WHERE true
ON CONFLICT (job_id, attempt) DO NOTHING
