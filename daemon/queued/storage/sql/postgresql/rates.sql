-- name: note
-- Remember the rate limits of new jobs.
INSERT INTO queued.job_rates (job_id, key, starts, period)
SELECT * FROM unnest(:ids::bigint[], :keys::text[], :starts::bigint[], :periods::float8[])
RETURNING job_id

-- name: of_jobs
-- The rate limits of some jobs.
SELECT job_id, key, starts, period, has_turn FROM queued.job_rates WHERE job_id = ANY(:ids)

-- name: create
-- Make the rows of new keys.
INSERT INTO queued.rates (key) SELECT key FROM unnest(:keys::text[]) AS k(key) ORDER BY key ON CONFLICT (key) DO NOTHING

-- name: lock
-- Lock keys, in their order.
SELECT key, turns, extract(epoch FROM {now})::float8 AS seconds FROM queued.rates WHERE key = ANY(:keys) ORDER BY key FOR UPDATE

-- name: store
-- Write down the turns that were given.
UPDATE queued.rates SET turns = :turns, idle_at = to_timestamp(:idle) WHERE key = :key

-- name: give
-- Jobs wait for their turn, or have used it.
UPDATE queued.job_rates SET has_turn = :has_turn WHERE job_id = ANY(:ids)

-- name: forget
-- Jobs that are over have no rate limit any more.
DELETE FROM queued.job_rates WHERE job_id = ANY(:ids) RETURNING job_id
