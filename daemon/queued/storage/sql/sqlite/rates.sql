-- name: note
-- Remember the rate limits of new jobs.
INSERT INTO queued.job_rates (job_id, key, starts, period)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]')
FROM json_each(:rows)
RETURNING job_id

-- name: of_jobs
-- The rate limits of some jobs.
SELECT job_id, key, starts, period, has_turn FROM queued.job_rates WHERE job_id IN (SELECT value FROM json_each(:ids))

-- name: create
-- Make the rows of new keys.
INSERT INTO queued.rates (key) SELECT value FROM json_each(:keys) WHERE true ON CONFLICT (key) DO NOTHING

-- name: lock
-- Nothing to lock: one writer at a time is the lock.
SELECT key, turns, {now} / 1000000.0 AS seconds FROM queued.rates WHERE key IN (SELECT value FROM json_each(:keys)) ORDER BY key

-- name: store
-- Write down the turns that were given.
UPDATE queued.rates SET turns = :turns, idle_at = CAST(:idle * 1000000 AS INTEGER) WHERE key = :key

-- name: give
-- Jobs wait for their turn, or have used it.
UPDATE queued.job_rates SET has_turn = :has_turn WHERE job_id IN (SELECT value FROM json_each(:ids))

-- name: forget
-- Jobs that are over have no rate limit any more.
DELETE FROM queued.job_rates WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id
