-- name: save
-- Store how far running jobs have come. Only claims whose lease still holds count.
INSERT INTO queued.checkpoints AS k (job_id, steps, done, total, message, saved_at)
SELECT c.job_id, json_extract(g.value, '$[2]'), json_extract(g.value, '$[3]'), json_extract(g.value, '$[4]'),
       json_extract(g.value, '$[5]'), {now}
FROM json_each(:rows) AS g
CROSS JOIN queued.claimed AS c ON c.job_id = json_extract(g.value, '$[0]') AND c.lease = json_extract(g.value, '$[1]')
WHERE true
ON CONFLICT (job_id) DO UPDATE SET
  steps = COALESCE(excluded.steps, k.steps),
  done = COALESCE(excluded.done, k.done),
  total = CASE WHEN excluded.done IS NULL THEN k.total ELSE excluded.total END,
  message = CASE WHEN excluded.done IS NULL THEN k.message ELSE excluded.message END,
  saved_at = excluded.saved_at
RETURNING job_id

-- name: forget
-- Jobs begin at their first step again.
DELETE FROM queued.checkpoints WHERE job_id IN (SELECT value FROM json_each(:ids))
