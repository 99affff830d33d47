-- Moving a row is one statement here, a data-modifying CTE; SQLite has none and needs several.

-- name: retry
-- Failed jobs become ready again; those with ties (seq is null) must be let in first. Their attempts stop counting against retry policies; the attempts' numbers go on.
WITH taken AS (
  DELETE FROM queued.failed WHERE job_id = ANY(:ids) RETURNING job_id, queue, attempt, ties
), forgiven AS (
  UPDATE queued.attempts SET counted = false WHERE job_id IN (SELECT job_id FROM taken) AND counted
), put AS (
  INSERT INTO queued.ready (job_id, queue, priority, attempt)
  SELECT t.job_id, t.queue, j.priority, t.attempt + 1
  FROM taken AS t JOIN queued.jobs AS j ON j.id = t.job_id
  WHERE t.ties = 0 ORDER BY t.job_id
  RETURNING job_id, queue, priority, attempt, ties, seq
)
SELECT job_id, queue, priority, attempt, ties, seq FROM put
UNION ALL
SELECT t.job_id, t.queue, j.priority, t.attempt + 1, t.ties, NULL
FROM taken AS t JOIN queued.jobs AS j ON j.id = t.job_id WHERE t.ties <> 0;

-- name: dispatch
-- Scheduled jobs are due now, but those that wait for the turn of their rate; those with ties (seq is null) must be let in first.
WITH gone AS (
  DELETE FROM queued.scheduled AS s
  WHERE s.job_id = ANY(:ids) AND NOT EXISTS (SELECT 1 FROM queued.job_rates AS r WHERE r.job_id = s.job_id AND r.has_turn)
  RETURNING s.job_id, s.queue, s.priority, s.attempt, s.ties, s.run_at
), due AS (
  UPDATE queued.jobs SET run_at = {now} WHERE id IN (SELECT job_id FROM gone) AND run_at > {now}
), put AS (
  INSERT INTO queued.ready (job_id, queue, priority, attempt)
  SELECT job_id, queue, priority, attempt FROM gone WHERE ties = 0 ORDER BY run_at, priority, job_id
  RETURNING job_id, queue, priority, attempt, ties, seq
)
SELECT job_id, queue, priority, attempt, ties, seq FROM put
UNION ALL
SELECT job_id, queue, priority, attempt, ties, NULL FROM gone WHERE ties <> 0;

-- name: end_failed
WITH taken AS (
  DELETE FROM queued.failed WHERE job_id = ANY(:ids) RETURNING job_id, attempt, ties
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, finished_at)
  SELECT job_id, CAST(:state AS text), attempt, {now} FROM taken
)
SELECT job_id, ties FROM taken;

-- name: end_scheduled
WITH taken AS (
  DELETE FROM queued.scheduled WHERE job_id = ANY(:ids) RETURNING job_id, attempt, ties
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, finished_at)
  SELECT job_id, CAST(:state AS text), attempt, {now} FROM taken
)
SELECT job_id, ties FROM taken;

-- name: end_ready
-- The queues bound the search: `ready` has no index by job.
WITH taken AS (
  DELETE FROM queued.ready WHERE queue = ANY(:queues) AND job_id = ANY(:ids) RETURNING job_id, attempt, ties
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, finished_at)
  SELECT job_id, CAST(:state AS text), attempt, {now} FROM taken
)
SELECT job_id, ties FROM taken;

-- name: end_ready_anywhere
-- For jobs that a retry moved to another queue.
WITH taken AS (
  DELETE FROM queued.ready WHERE job_id = ANY(:ids) RETURNING job_id, attempt, ties
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, finished_at)
  SELECT job_id, CAST(:state AS text), attempt, {now} FROM taken
)
SELECT job_id, ties FROM taken;
