-- name: facts
-- What members know of their batches, and whether those have finished.
SELECT id, description, metadata, finished_at FROM queued.batches WHERE id = ANY(:ids)

-- name: of_jobs
-- The batches of members that have not ended.
SELECT job_id, batch_id FROM queued.batch_jobs WHERE job_id = ANY(:ids)

-- name: lock
-- Lock batches, in the order of their ids.
SELECT id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, finished_at
FROM queued.batches WHERE id = ANY(:ids) ORDER BY id FOR UPDATE

-- name: join
-- Make jobs members.
INSERT INTO queued.batch_jobs (job_id, batch_id)
SELECT * FROM unnest(:ids::bigint[], :batches::bigint[]) RETURNING job_id

-- name: leave
-- Members have ended; those that were members still are returned.
DELETE FROM queued.batch_jobs WHERE job_id = ANY(:ids) RETURNING job_id, batch_id

-- name: prune
-- Forget batches that finished long ago.
DELETE FROM queued.batches WHERE id = ANY (ARRAY(
  SELECT id FROM queued.batches
  WHERE finished_at <= {now} - :period * interval '1 second' AND (failed > 0) = (:with_failures <> 0)
  LIMIT :batch_size FOR UPDATE SKIP LOCKED
)) RETURNING id
