-- name: take
-- Take one claim out of its process's hands, if the lease still holds.
DELETE FROM queued.claimed WHERE job_id = :job_id AND lease = :lease
RETURNING job_id, lease, process_id, queue, priority, attempt, ties, started_at

-- name: held
-- What is in a process's hands.
SELECT job_id, lease FROM queued.claimed WHERE process_id = :process_id

-- name: cancellations
-- What a process is asked to cancel.
SELECT job_id, lease FROM queued.claimed WHERE process_id = :process_id AND cancel_at IS NOT NULL

-- name: orphans
-- Processes that are not registered and yet hold claims.
SELECT DISTINCT c.process_id FROM queued.claimed AS c
WHERE NOT EXISTS (SELECT 1 FROM queued.processes AS p WHERE p.id = c.process_id)
