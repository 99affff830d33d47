-- name: save
-- Store how far running jobs have come. Only claims whose lease still holds count, and they stay ours until the commit: what a
-- worker says that was given up must not overwrite what the next attempt has stored.
WITH given AS (
  SELECT job_id, lease, steps, done, total, message
  FROM unnest(:ids::bigint[], :leases::bigint[], :steps::text[], :dones::float8[], :totals::float8[], :messages::text[])
       AS g(job_id, lease, steps, done, total, message)
), held AS MATERIALIZED (
  SELECT c.job_id, c.lease FROM given AS g JOIN queued.claimed AS c ON c.job_id = g.job_id AND c.lease = g.lease
  ORDER BY c.job_id FOR KEY SHARE OF c
)
INSERT INTO queued.checkpoints AS k (job_id, steps, done, total, message, saved_at)
SELECT g.job_id, g.steps, g.done, g.total, g.message, {now}
FROM held AS h JOIN given AS g ON g.job_id = h.job_id AND g.lease = h.lease
ON CONFLICT (job_id) DO UPDATE SET
  steps = COALESCE(excluded.steps, k.steps),
  done = COALESCE(excluded.done, k.done),
  total = CASE WHEN excluded.done IS NULL THEN k.total ELSE excluded.total END,
  message = CASE WHEN excluded.done IS NULL THEN k.message ELSE excluded.message END,
  saved_at = excluded.saved_at
RETURNING job_id

-- name: forget
-- Jobs begin at their first step again.
DELETE FROM queued.checkpoints WHERE job_id = ANY(:ids)
