-- name: put
-- A job has failed for good, until somebody retries it.
INSERT INTO queued.failed (job_id, queue, attempt, ties, error_class, message, backtrace)
VALUES (:job_id, :queue, :attempt, :ties, :error_class, :message, :backtrace)
