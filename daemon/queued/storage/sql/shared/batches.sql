-- name: open
-- Open a batch; it has no members yet.
INSERT INTO queued.batches (parent_id, description, metadata, on_success, on_failure, on_finish)
VALUES (:parent_id, :description, :metadata, :on_success, :on_failure, :on_finish)
RETURNING id

-- name: count
-- Say how the members of a batch have ended so far, and how many there are: what follows a batch inside it is one.
UPDATE queued.batches SET total = :total, done = :done, failed = :failed, discarded = :discarded, failures = :failures
WHERE id = :id RETURNING id

-- name: finish
-- All members of a batch have ended.
UPDATE queued.batches SET finished_at = {now} WHERE id = :id AND finished_at IS NULL RETURNING id

-- name: newest
-- Batches that lie in no other, for an operator, the newest first.
SELECT id, parent_id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, opened_at,
       finished_at, {now} AS now_at
FROM queued.batches WHERE parent_id IS NULL AND id < :before AND (:unfinished = 0 OR finished_at IS NULL)
ORDER BY id DESC LIMIT :page

-- name: find
-- One batch for an operator.
SELECT id, parent_id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, opened_at,
       finished_at, {now} AS now_at
FROM queued.batches WHERE id = :id

-- name: inside
-- The first batches that lie in one.
SELECT id, parent_id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, opened_at,
       finished_at, {now} AS now_at
FROM queued.batches WHERE parent_id = :id ORDER BY id LIMIT :few

-- name: outstanding
-- Some members of a batch that have not ended.
SELECT job_id FROM queued.batch_jobs WHERE batch_id = :id ORDER BY job_id LIMIT :few

-- name: of_job
-- The batch of a member that has not ended.
SELECT batch_id FROM queued.batch_jobs WHERE job_id = :id
