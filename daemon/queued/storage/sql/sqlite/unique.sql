-- name: lapse
-- Free keys whose period is over.
DELETE FROM queued.unique_keys WHERE key IN (SELECT value FROM json_each(:keys)) AND expires_at <= {now} RETURNING key

-- name: take
-- Take keys that are free; one that is taken is passed over.
INSERT INTO queued.unique_keys (key, job_id, expires_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), {now} + CAST(json_extract(value, '$[2]') * 1000000 AS INTEGER)
FROM json_each(:rows) WHERE true ORDER BY json_extract(value, '$[1]')
ON CONFLICT (key) DO NOTHING
RETURNING key, job_id

-- name: takers
-- Who has the keys.
SELECT key, job_id FROM queued.unique_keys WHERE key IN (SELECT value FROM json_each(:keys))

-- name: note
-- Remember the keys of jobs.
INSERT INTO queued.job_uniques (job_id, key, until)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:rows)
RETURNING job_id

-- name: free
-- Free the keys of jobs.
DELETE FROM queued.unique_keys WHERE (key, job_id) IN (
  SELECT u.key, u.job_id FROM json_each(:ids) AS g CROSS JOIN queued.job_uniques AS u ON u.job_id = g.value
)
RETURNING key

-- name: retake
-- Jobs wait again, after a failure or after they had started: they have their keys again, where nobody else took them.
INSERT INTO queued.unique_keys (key, job_id)
SELECT u.key, u.job_id FROM queued.job_uniques AS u
WHERE u.job_id IN (SELECT value FROM json_each(:ids)) AND u.until <> 'start'
ON CONFLICT (key) DO NOTHING

-- name: forget
-- Jobs that are over have no key any more.
DELETE FROM queued.job_uniques WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id

-- name: unstore
-- Take back jobs that this transaction has stored.
DELETE FROM queued.jobs WHERE id IN (SELECT value FROM json_each(:ids)) RETURNING id

-- name: lanes
-- The queues that jobs were stored for.
SELECT DISTINCT queue FROM queued.jobs WHERE id IN (SELECT value FROM json_each(:ids))
