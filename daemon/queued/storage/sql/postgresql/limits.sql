-- name: note
-- Remember the limits of new jobs.
INSERT INTO queued.job_limits (job_id, key, capacity, duration, on_conflict)
SELECT * FROM unnest(:ids::bigint[], :keys::text[], :capacities::bigint[], :durations::float8[], :on_conflicts::text[])
RETURNING job_id

-- name: of_jobs
-- The limits of some jobs.
SELECT job_id, key, capacity, on_conflict FROM queued.job_limits WHERE job_id = ANY(:ids) ORDER BY job_id, key

-- name: create
-- Make the rows of new keys.
INSERT INTO queued.limits (key, capacity)
SELECT key, capacity FROM unnest(:keys::text[], :capacities::bigint[]) AS k(key, capacity) ORDER BY key
ON CONFLICT (key) DO NOTHING

-- name: lock
-- Lock keys, in their order.
SELECT key, capacity FROM queued.limits WHERE key = ANY(:keys) ORDER BY key FOR UPDATE

-- name: resize
-- Change how many may hold a key.
UPDATE queued.limits AS l SET capacity = k.capacity
FROM unnest(:keys::text[], :capacities::bigint[]) AS k(key, capacity) WHERE l.key = k.key

-- name: free
-- Take their slots from jobs.
DELETE FROM queued.slots AS s USING queued.job_limits AS l
WHERE l.job_id = ANY(:ids) AND s.key = l.key AND s.job_id = l.job_id

-- name: forget
-- Jobs that are over have no limits any more.
DELETE FROM queued.job_limits WHERE job_id = ANY(:ids) RETURNING job_id

-- name: block
-- Put jobs in line, each for one of its keys.
INSERT INTO queued.blocked (job_id, key, queue, priority, attempt, ties)
SELECT * FROM unnest(:ids::bigint[], :keys::text[], :queues::text[], :priorities::bigint[], :attempts::bigint[], :ties::bigint[])

-- name: wait_for
-- Put blocked jobs in line for another of their keys.
UPDATE queued.blocked AS b SET key = w.key
FROM unnest(:ids::bigint[], :keys::text[]) AS w(job_id, key) WHERE b.job_id = w.job_id

-- name: room
-- How many slots of each key are free; below zero after a limit was lowered.
SELECT l.key, l.capacity - (SELECT count(*) FROM queued.slots AS s WHERE s.key = l.key) AS room
FROM queued.limits AS l WHERE l.key = ANY(:keys)

-- name: heads
-- The first :count in line of each key, each with all its keys.
SELECT b.job_id, b.priority, b.waits_for, l.key, l.capacity
FROM unnest(:keys::text[]) AS k(key)
CROSS JOIN LATERAL (
  SELECT job_id, priority, key AS waits_for FROM queued.blocked WHERE key = k.key ORDER BY priority, job_id LIMIT :count
) AS b
CROSS JOIN LATERAL (SELECT key, capacity FROM queued.job_limits WHERE job_id = b.job_id OFFSET 0) AS l

-- name: admit
-- Blocked jobs take a slot of each of their keys and are ready.
WITH gone AS (
  DELETE FROM queued.blocked WHERE job_id = ANY(:ids) RETURNING job_id, queue, priority, attempt, ties
), held AS (
  INSERT INTO queued.slots (key, job_id)
  SELECT l.key, gone.job_id
  FROM gone CROSS JOIN LATERAL (SELECT key FROM queued.job_limits WHERE job_id = gone.job_id OFFSET 0) AS l
)
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
SELECT job_id, queue, priority, attempt, ties FROM gone ORDER BY priority, job_id
RETURNING job_id, queue, priority, seq

-- name: end_blocked
-- End jobs that wait in line.
WITH gone AS (
  DELETE FROM queued.blocked WHERE job_id = ANY(:ids) RETURNING job_id, attempt
)
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, CAST(:state AS text), attempt, {now} FROM gone
RETURNING job_id

-- name: waited_for
-- Keys that have a line and a free slot, found by jumping from key to key.
WITH RECURSIVE line AS (
  (SELECT key FROM queued.blocked ORDER BY key LIMIT 1)
  UNION ALL
  SELECT following.key FROM line CROSS JOIN LATERAL (
    SELECT b.key FROM queued.blocked AS b WHERE b.key > line.key ORDER BY b.key LIMIT 1
  ) AS following
)
SELECT line.key FROM line LEFT JOIN queued.limits AS l ON l.key = line.key
WHERE l.key IS NULL OR l.capacity > (SELECT count(*) FROM queued.slots AS s WHERE s.key = line.key)
LIMIT :batch_size

-- name: idle
-- Lock keys that nobody holds or waits for; whoever works with one meanwhile keeps it.
SELECT key FROM queued.limits AS l
WHERE NOT EXISTS (SELECT FROM queued.slots AS s WHERE s.key = l.key)
  AND NOT EXISTS (SELECT FROM queued.blocked AS b WHERE b.key = l.key)
LIMIT :batch_size FOR UPDATE SKIP LOCKED

-- name: remove
-- Forget keys, if still nobody holds or waits for them.
DELETE FROM queued.limits AS l WHERE l.key = ANY(:keys)
  AND NOT EXISTS (SELECT FROM queued.slots AS s WHERE s.key = l.key)
  AND NOT EXISTS (SELECT FROM queued.blocked AS b WHERE b.key = l.key)

-- name: refuse
-- Discard jobs in line, with the reason.
WITH gone AS (
  DELETE FROM queued.blocked WHERE job_id = ANY(:ids) RETURNING job_id, attempt
), told AS (
  INSERT INTO queued.attempts (job_id, attempt, error_class, message, backtrace)
  SELECT job_id, attempt, CAST(:error_class AS text), CAST(:message AS text), '' FROM gone
  ON CONFLICT (job_id, attempt) DO NOTHING
), forgotten AS (
  DELETE FROM queued.job_limits WHERE job_id IN (SELECT job_id FROM gone)
)
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, 'discarded', attempt, {now} FROM gone
RETURNING job_id
