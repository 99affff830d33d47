-- name: record
-- An attempt that did not end well.
INSERT INTO queued.attempts (job_id, attempt, policy, error_class, message, backtrace, hostname, process_name, started_at, ended_at)
SELECT :job_id, :attempt, :policy, :error_class, :message, :backtrace, :hostname, :process_name,
       COALESCE(:started_at, moment - CAST((:ended_ago + :duration) * 1000000 AS INTEGER)),
       moment - CAST(:ended_ago * 1000000 AS INTEGER)
FROM (SELECT {now} AS moment) AS clock WHERE true
ON CONFLICT (job_id, attempt) DO NOTHING

-- name: explain
-- Say why a job was ended before it ran.
INSERT INTO queued.attempts (job_id, attempt, error_class, message, backtrace)
SELECT job_id, attempt, :error_class, :message, '' FROM queued.finished
WHERE job_id IN (SELECT value FROM json_each(:ids))
ON CONFLICT (job_id, attempt) DO NOTHING
RETURNING job_id

-- name: interrupt
-- A job was stopped while it ran, and waits again.
INSERT INTO queued.interruptions AS i (job_id, reason, attempt, hostname, process_name, interrupted_at)
VALUES (:job_id, :reason, :attempt, :hostname, :process_name, {now} - CAST(:ended_ago * 1000000 AS INTEGER))
ON CONFLICT (job_id) DO UPDATE SET
  times = i.times + 1, reason = excluded.reason, attempt = excluded.attempt, hostname = excluded.hostname,
  process_name = excluded.process_name, interrupted_at = excluded.interrupted_at
