-- name: lapse
-- Free keys whose period is over.
DELETE FROM queued.unique_keys WHERE key = ANY(:keys) AND expires_at <= {now} RETURNING key

-- name: take
-- Take keys that are free. One that another transaction is taking is waited for; one that is taken is passed over.
INSERT INTO queued.unique_keys (key, job_id, expires_at)
SELECT t.key, t.job_id, {now} + t.period * interval '1 second'
FROM unnest(:keys::text[], :ids::bigint[], :periods::float8[]) AS t(key, job_id, period) ORDER BY t.key, t.job_id
ON CONFLICT (key) DO NOTHING
RETURNING key, job_id

-- name: takers
-- Who has the keys.
SELECT key, job_id FROM queued.unique_keys WHERE key = ANY(:keys)

-- name: note
-- Remember the keys of jobs.
INSERT INTO queued.job_uniques (job_id, key, until)
SELECT * FROM unnest(:ids::bigint[], :keys::text[], :untils::text[])
RETURNING job_id

-- name: free
-- Free the keys of jobs.
DELETE FROM queued.unique_keys AS k USING queued.job_uniques AS u
WHERE u.job_id = ANY(:ids) AND k.key = u.key AND k.job_id = u.job_id
RETURNING k.key

-- name: retake
-- Jobs wait again, after a failure or after they had started: they have their keys again, where nobody else took them.
INSERT INTO queued.unique_keys (key, job_id)
SELECT key, job_id FROM queued.job_uniques WHERE job_id = ANY(:ids) AND until <> 'start' ORDER BY key
ON CONFLICT (key) DO NOTHING

-- name: forget
-- Jobs that are over have no key any more.
DELETE FROM queued.job_uniques WHERE job_id = ANY(:ids) RETURNING job_id

-- name: unstore
-- Take back jobs that this transaction has stored.
DELETE FROM queued.jobs WHERE id = ANY(:ids) RETURNING id

-- name: lanes
-- The queues that jobs were stored for.
SELECT DISTINCT queue FROM queued.jobs WHERE id = ANY(:ids)
