-- name: put
-- A job has ended without an outcome of its own: cancelled or discarded by somebody else.
INSERT INTO queued.finished (job_id, state, attempt, process_id, started_at, finished_at)
VALUES (:job_id, :state, :attempt, :process_id, :started_at, {now})
