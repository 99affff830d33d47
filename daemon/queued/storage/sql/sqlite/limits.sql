-- name: note
-- Remember the limits of new jobs.
INSERT INTO queued.job_limits (job_id, key, capacity, duration, on_conflict)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
       json_extract(value, '$[4]')
FROM json_each(:rows)
RETURNING job_id

-- name: of_jobs
-- The limits of some jobs.
SELECT job_id, key, capacity, on_conflict FROM queued.job_limits
WHERE job_id IN (SELECT value FROM json_each(:ids)) ORDER BY job_id, key

-- name: create
-- Make the rows of new keys.
INSERT INTO queued.limits (key, capacity)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows) WHERE true
ON CONFLICT (key) DO NOTHING

-- name: lock
-- Nothing to lock: one writer at a time is the lock.
SELECT key, capacity FROM queued.limits WHERE key IN (SELECT value FROM json_each(:keys)) ORDER BY key

-- name: resize
-- Change how many may hold a key.
INSERT INTO queued.limits (key, capacity)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows) WHERE true
ON CONFLICT (key) DO UPDATE SET capacity = excluded.capacity

-- name: free
-- Take their slots from jobs.
DELETE FROM queued.slots WHERE (key, job_id) IN (
  SELECT l.key, l.job_id FROM json_each(:ids) AS g CROSS JOIN queued.job_limits AS l ON l.job_id = g.value
)

-- name: forget
-- Jobs that are over have no limits any more.
DELETE FROM queued.job_limits WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id

-- name: block
-- Put jobs in line, each for one of its keys.
INSERT INTO queued.blocked (job_id, key, queue, priority, attempt, ties)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
       json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(:rows)

-- name: wait_for
-- Put blocked jobs in line for another of their keys.
UPDATE queued.blocked SET key = w.key
FROM (SELECT json_extract(value, '$[0]') AS job_id, json_extract(value, '$[1]') AS key FROM json_each(:rows)) AS w
WHERE queued.blocked.job_id = w.job_id

-- name: room
-- How many slots of each key are free; below zero after a limit was lowered.
SELECT l.key, l.capacity - (SELECT count(*) FROM queued.slots AS s WHERE s.key = l.key) AS room
FROM queued.limits AS l WHERE l.key IN (SELECT value FROM json_each(:keys))

-- name: heads
-- The first :count in line of each key, each with all its keys. Differs by necessity: there is no LATERAL.
SELECT b.job_id, b.priority, b.key AS waits_for, l.key, l.capacity
FROM json_each(:keys) AS k
CROSS JOIN queued.blocked AS b ON b.job_id IN (
  SELECT w.job_id FROM queued.blocked AS w WHERE w.key = k.value ORDER BY w.priority, w.job_id LIMIT :count
)
CROSS JOIN queued.job_limits AS l ON l.job_id = b.job_id

-- name: admit
-- Blocked jobs take a slot of each of their keys and are ready.
INSERT INTO queued.slots (key, job_id)
SELECT l.key, l.job_id FROM json_each(:ids) AS g CROSS JOIN queued.job_limits AS l ON l.job_id = g.value;

INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
SELECT job_id, queue, priority, attempt, ties FROM queued.blocked
WHERE job_id IN (SELECT value FROM json_each(:ids)) ORDER BY priority, job_id
RETURNING job_id, queue, priority, seq;

DELETE FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids))

-- name: end_blocked
-- End jobs that wait in line.
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, :state, attempt, {now} FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids));

DELETE FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id

-- name: waited_for
-- Keys that have a line and a free slot, found by jumping from key to key.
WITH RECURSIVE line (key) AS (
  SELECT * FROM (SELECT key FROM queued.blocked ORDER BY key LIMIT 1)
  UNION ALL
  SELECT (SELECT min(b.key) FROM queued.blocked AS b WHERE b.key > line.key) FROM line WHERE line.key IS NOT NULL
)
SELECT line.key FROM line LEFT JOIN queued.limits AS l ON l.key = line.key
WHERE line.key IS NOT NULL
  AND (l.key IS NULL OR l.capacity > (SELECT count(*) FROM queued.slots AS s WHERE s.key = line.key))
LIMIT :batch_size

-- name: idle
-- Keys that nobody holds or waits for.
SELECT key FROM queued.limits AS l
WHERE NOT EXISTS (SELECT 1 FROM queued.slots AS s WHERE s.key = l.key)
  AND NOT EXISTS (SELECT 1 FROM queued.blocked AS b WHERE b.key = l.key)
LIMIT :batch_size

-- name: remove
-- Forget keys, if still nobody holds or waits for them.
DELETE FROM queued.limits WHERE key IN (SELECT value FROM json_each(:keys))
  AND NOT EXISTS (SELECT 1 FROM queued.slots AS s WHERE s.key = queued.limits.key)
  AND NOT EXISTS (SELECT 1 FROM queued.blocked AS b WHERE b.key = queued.limits.key)

-- name: refuse
-- Discard jobs in line, with the reason.
INSERT INTO queued.attempts (job_id, attempt, error_class, message, backtrace)
SELECT job_id, attempt, :error_class, :message, '' FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids))
ON CONFLICT (job_id, attempt) DO NOTHING;

INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, 'discarded', attempt, {now} FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids));

DELETE FROM queued.job_limits WHERE job_id IN (SELECT value FROM json_each(:ids));

DELETE FROM queued.blocked WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id
