-- Moving a row is several statements here: there is no data-modifying CTE, and one writer at a time makes them one step.

-- name: retry
-- Failed jobs become ready again; those with ties (seq is null) must be let in first. Their attempts stop counting against retry policies; the attempts' numbers go on.
UPDATE queued.attempts SET counted = 0
WHERE job_id IN (SELECT f.job_id FROM queued.failed AS f WHERE f.job_id IN (SELECT value FROM json_each(:ids)));
INSERT INTO queued.ready (job_id, queue, priority, attempt)
SELECT f.job_id, f.queue, j.priority, f.attempt + 1
FROM queued.failed AS f JOIN queued.jobs AS j ON j.id = f.job_id
WHERE f.job_id IN (SELECT value FROM json_each(:ids)) AND f.ties = 0
ORDER BY f.job_id;
SELECT f.job_id, f.queue, j.priority, f.attempt + 1 AS attempt, f.ties, CASE WHEN f.ties = 0 THEN 1 END AS seq
FROM queued.failed AS f JOIN queued.jobs AS j ON j.id = f.job_id
WHERE f.job_id IN (SELECT value FROM json_each(:ids))
ORDER BY f.job_id;
DELETE FROM queued.failed WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: dispatch
-- Scheduled jobs are due now, but those that wait for the turn of their rate; those with ties (seq is null) must be let in first.
DELETE FROM temp.picked;
INSERT INTO temp.picked (job_id, queue, priority, attempt, ties)
SELECT s.job_id, s.queue, s.priority, s.attempt, s.ties FROM queued.scheduled AS s
WHERE s.job_id IN (SELECT value FROM json_each(:ids))
  AND NOT EXISTS (SELECT 1 FROM queued.job_rates AS r WHERE r.job_id = s.job_id AND r.has_turn)
ORDER BY s.run_at, s.priority, s.job_id;
DELETE FROM queued.scheduled WHERE job_id IN (SELECT job_id FROM temp.picked);
UPDATE queued.jobs SET run_at = {now} WHERE id IN (SELECT job_id FROM temp.picked) AND run_at > {now};
INSERT INTO queued.ready (job_id, queue, priority, attempt)
SELECT job_id, queue, priority, attempt FROM temp.picked WHERE ties = 0 ORDER BY seq;
SELECT job_id, queue, priority, attempt, ties, CASE WHEN ties = 0 THEN 1 END AS seq FROM temp.picked ORDER BY seq;

-- name: end_failed
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, :state, attempt, {now} FROM queued.failed WHERE job_id IN (SELECT value FROM json_each(:ids));
DELETE FROM queued.failed WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id, ties;

-- name: end_scheduled
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, :state, attempt, {now} FROM queued.scheduled WHERE job_id IN (SELECT value FROM json_each(:ids));
DELETE FROM queued.scheduled WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id, ties;

-- name: end_ready
-- The queues bound the search: `ready` has no index by job.
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, :state, attempt, {now} FROM queued.ready
WHERE queue IN (SELECT value FROM json_each(:queues)) AND job_id IN (SELECT value FROM json_each(:ids));
DELETE FROM queued.ready
WHERE queue IN (SELECT value FROM json_each(:queues)) AND job_id IN (SELECT value FROM json_each(:ids))
RETURNING job_id, ties;

-- name: end_ready_anywhere
-- For jobs that a retry moved to another queue.
INSERT INTO queued.finished (job_id, state, attempt, finished_at)
SELECT job_id, :state, attempt, {now} FROM queued.ready WHERE job_id IN (SELECT value FROM json_each(:ids));
DELETE FROM queued.ready WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id, ties;
