-- name: begin
-- What follows may have to be done again with more locks.
SAVEPOINT queued_limits

-- name: again
-- Give the locks back, with all that was done under them.
ROLLBACK TO SAVEPOINT queued_limits

-- name: strays
-- Slots held by jobs that are neither ready nor claimed: such a job is in another table, or gone.
SELECT s.key, s.job_id FROM queued.slots AS s
WHERE EXISTS (SELECT 1 FROM queued.scheduled AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.blocked AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.failed AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.finished AS o WHERE o.job_id = s.job_id)
   OR NOT EXISTS (SELECT 1 FROM queued.jobs AS o WHERE o.id = s.job_id)
ORDER BY s.key, s.job_id LIMIT :batch_size

-- name: evict
-- Take a slot from a job that is neither ready nor claimed.
DELETE FROM queued.slots AS s WHERE s.key = :key AND s.job_id = :job_id AND (
      EXISTS (SELECT 1 FROM queued.scheduled AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.blocked AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.failed AS o WHERE o.job_id = s.job_id)
   OR EXISTS (SELECT 1 FROM queued.finished AS o WHERE o.job_id = s.job_id)
   OR NOT EXISTS (SELECT 1 FROM queued.jobs AS o WHERE o.id = s.job_id))
