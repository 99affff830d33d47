-- name: lineage
-- Batches and those that they lie in, as they are.
WITH RECURSIVE line (id, parent_id) AS (
  SELECT id, parent_id FROM queued.batches WHERE id IN (SELECT value FROM json_each(:ids))
  UNION
  SELECT b.id, b.parent_id FROM line JOIN queued.batches AS b ON b.id = line.parent_id
)
SELECT b.id, b.parent_id, b.description, b.metadata, b.total, b.done, b.failed, b.discarded, b.failures, b.on_success, b.on_failure,
       b.on_finish, b.finished_at
FROM line JOIN queued.batches AS b ON b.id = line.id

-- name: below
-- Batches that lie in some, for an operator, the oldest first.
WITH RECURSIVE tree (id) AS (
  SELECT id FROM queued.batches WHERE parent_id IN (SELECT value FROM json_each(:ids))
  UNION
  SELECT b.id FROM tree JOIN queued.batches AS b ON b.parent_id = tree.id
)
SELECT b.id, b.parent_id, b.description, b.metadata, b.total, b.done, b.failed, b.discarded, b.failures, b.on_success, b.on_failure,
       b.on_finish, b.opened_at, b.finished_at, {now} AS now_at
FROM tree JOIN queued.batches AS b ON b.id = tree.id WHERE (:unfinished = 0 OR b.finished_at IS NULL)
ORDER BY b.id LIMIT :few

-- name: of_jobs
-- The batches of members that have not ended.
SELECT m.job_id, m.batch_id, b.parent_id FROM queued.batch_jobs AS m JOIN queued.batches AS b ON b.id = m.batch_id
WHERE m.job_id IN (SELECT value FROM json_each(:ids))

-- name: lock
-- Batches as they are: the writer is alone.
SELECT id, parent_id, description, metadata, total, done, failed, discarded, failures, on_success, on_failure, on_finish, finished_at
FROM queued.batches WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id

-- name: join
-- Make jobs members.
INSERT INTO queued.batch_jobs (job_id, batch_id)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows);

SELECT 1 AS done

-- name: grow
-- Batches have more members.
UPDATE queued.batches SET total = json_extract(g.value, '$[1]') FROM json_each(:rows) AS g
WHERE queued.batches.id = json_extract(g.value, '$[0]') RETURNING id

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
