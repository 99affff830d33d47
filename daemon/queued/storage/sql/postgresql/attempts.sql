-- name: record
-- An attempt that did not end well.
INSERT INTO queued.attempts (job_id, attempt, policy, error_class, message, backtrace, hostname, process_name, started_at, ended_at)
SELECT :job_id, :attempt, :policy, :error_class, :message, :backtrace, :hostname, :process_name,
       COALESCE(:started_at::timestamptz, moment - (:ended_ago::float8 + :duration::float8) * interval '1 second'),
       moment - :ended_ago::float8 * interval '1 second'
FROM (SELECT {now} AS moment) AS clock
ON CONFLICT (job_id, attempt) DO NOTHING

-- name: explain
-- Say why a job was ended before it ran.
INSERT INTO queued.attempts (job_id, attempt, error_class, message, backtrace)
SELECT job_id, attempt, CAST(:error_class AS text), CAST(:message AS text), '' FROM queued.finished WHERE job_id = ANY(:ids)
ON CONFLICT (job_id, attempt) DO NOTHING
RETURNING job_id

-- name: interrupt
-- A job was stopped while it ran, and waits again.
INSERT INTO queued.interruptions AS i (job_id, reason, attempt, hostname, process_name, interrupted_at)
VALUES (:job_id, :reason, :attempt, :hostname, :process_name, {now} - :ended_ago * interval '1 second')
ON CONFLICT (job_id) DO UPDATE SET
  times = i.times + 1, reason = excluded.reason, attempt = excluded.attempt, hostname = excluded.hostname,
  process_name = excluded.process_name, interrupted_at = excluded.interrupted_at
