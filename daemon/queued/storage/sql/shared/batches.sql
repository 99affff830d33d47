-- name: open
-- Open a batch; it has no members yet.
INSERT INTO queued.batches (description, metadata, on_success, on_failure, on_finish)
VALUES (:description, :metadata, :on_success, :on_failure, :on_finish)
RETURNING id

-- name: grow
-- A batch has that many more members.
UPDATE queued.batches SET total = total + :count WHERE id = :id RETURNING id

-- name: count
-- Say how the members of a batch have ended so far.
UPDATE queued.batches SET done = :done, failed = :failed, discarded = :discarded, failures = :failures
WHERE id = :id RETURNING id

-- name: finish
-- All members of a batch have ended.
UPDATE queued.batches SET finished_at = {now} WHERE id = :id AND finished_at IS NULL RETURNING id

-- name: newest
-- Batches for an operator, the newest first.
SELECT id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, opened_at, finished_at,
       {now} AS now_at
FROM queued.batches WHERE id < :before AND (:unfinished = 0 OR finished_at IS NULL)
ORDER BY id DESC LIMIT :page

-- name: find
-- One batch for an operator.
SELECT id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, opened_at, finished_at,
       {now} AS now_at
FROM queued.batches WHERE id = :id

-- name: outstanding
-- Some members of a batch that have not ended.
SELECT job_id FROM queued.batch_jobs WHERE batch_id = :id ORDER BY job_id LIMIT :few
