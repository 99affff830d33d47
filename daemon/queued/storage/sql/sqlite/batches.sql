-- name: facts
-- What members know of their batches, and whether those have finished.
SELECT id, description, metadata, finished_at FROM queued.batches WHERE id IN (SELECT value FROM json_each(:ids))

-- name: of_jobs
-- The batches of members that have not ended.
SELECT job_id, batch_id FROM queued.batch_jobs WHERE job_id IN (SELECT value FROM json_each(:ids))

-- name: lock
-- Batches as they are: the writer is alone.
SELECT id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, finished_at
FROM queued.batches WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id

-- name: join
-- Make jobs members.
INSERT INTO queued.batch_jobs (job_id, batch_id)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows) RETURNING job_id

-- name: leave
-- Members have ended; those that were members still are returned.
DELETE FROM queued.batch_jobs WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id, batch_id

-- name: prune
-- Forget batches that finished long ago.
DELETE FROM queued.batches WHERE id IN (
  SELECT id FROM queued.batches
  WHERE finished_at <= {now} - CAST(:period * 1000000 AS INTEGER) AND (failed > 0) = (:with_failures <> 0)
  LIMIT :batch_size
) RETURNING id
