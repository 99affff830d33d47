-- name: put
-- Make one job ready, to the right of all others.
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
VALUES (:job_id, :queue, :priority, :attempt, :ties) RETURNING seq
