-- name: finish
-- End attempts well. Only claims whose lease still holds are touched; they alone are returned.
-- Each is looked for by its key, behind a fence: a join was planned as a walk over all of `claimed` once a vacuum had found
-- nothing alive in it, and with two million dead rows kept visible by an old transaction an end then took 290 µs instead of 7.
-- Deleted by the key too and not by their place: one whose cancellation was asked for since the statement began has a new place,
-- which this statement's own look at the table does not show.
WITH ended AS (
  SELECT job_id, lease, state, duration, ended_ago
  FROM unnest(:ids::bigint[], :leases::bigint[], :states::text[], :durations::float8[], :ended_agos::float8[])
       AS e(job_id, lease, state, duration, ended_ago)
), held AS MATERIALIZED (
  SELECT c.job_id, c.attempt, c.process_id, c.ties, e.state, e.duration, e.ended_ago
  FROM ended AS e CROSS JOIN LATERAL (
    SELECT job_id, attempt, process_id, ties FROM queued.claimed
    WHERE job_id = e.job_id AND lease = e.lease LIMIT 1 FOR UPDATE
  ) AS c
), gone AS (
  DELETE FROM queued.claimed WHERE job_id = ANY (ARRAY(SELECT job_id FROM held))
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, process_id, started_at, finished_at)
  SELECT job_id, state, attempt, process_id,
         moment - (ended_ago + duration) * interval '1 second', moment - ended_ago * interval '1 second'
  FROM held CROSS JOIN (SELECT {now} AS moment) AS clock
)
SELECT job_id, attempt, ties FROM held

-- name: finish_plain
-- As `finish`, of jobs without ties and of which nothing else is to be said. Stale ones alone are returned: seldom any.
-- They are told by their leases, of which each is given once: the same job may have ended under an old one and under a new one.
WITH ended AS (
  SELECT job_id, lease, state, duration, ended_ago
  FROM unnest(:ids::bigint[], :leases::bigint[], :states::text[], :durations::float8[], :ended_agos::float8[])
       AS e(job_id, lease, state, duration, ended_ago)
), held AS MATERIALIZED (
  SELECT c.job_id, e.lease, c.attempt, c.process_id, e.state, e.duration, e.ended_ago
  FROM ended AS e CROSS JOIN LATERAL (
    SELECT job_id, attempt, process_id FROM queued.claimed
    WHERE job_id = e.job_id AND lease = e.lease LIMIT 1 FOR UPDATE
  ) AS c
), gone AS (
  DELETE FROM queued.claimed WHERE job_id = ANY (ARRAY(SELECT job_id FROM held))
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, process_id, started_at, finished_at)
  SELECT job_id, state, attempt, process_id,
         moment - (ended_ago + duration) * interval '1 second', moment - ended_ago * interval '1 second'
  FROM held CROSS JOIN (SELECT {now} AS moment) AS clock
)
SELECT job_id, lease FROM ended WHERE (SELECT count(*) FROM held) < :count AND lease <> ALL (ARRAY(SELECT lease FROM held))

-- name: finish_or_delete
-- As `finish_plain`, but of a job whose state is 'deleted' nothing is left. Its run of a recurring task has no other place to learn of
-- its end.
WITH ended AS (
  SELECT job_id, lease, state, duration, ended_ago
  FROM unnest(:ids::bigint[], :leases::bigint[], :states::text[], :durations::float8[], :ended_agos::float8[])
       AS e(job_id, lease, state, duration, ended_ago)
), held AS MATERIALIZED (
  SELECT c.job_id, e.lease, c.attempt, c.process_id, e.state, e.duration, e.ended_ago
  FROM ended AS e CROSS JOIN LATERAL (
    SELECT job_id, attempt, process_id FROM queued.claimed
    WHERE job_id = e.job_id AND lease = e.lease LIMIT 1 FOR UPDATE
  ) AS c
), over AS MATERIALIZED (
  SELECT array_agg(job_id) AS ids FROM held WHERE state = 'deleted'
), gone AS (
  DELETE FROM queued.claimed WHERE job_id = ANY (ARRAY(SELECT job_id FROM held))
), put AS (
  INSERT INTO queued.finished (job_id, state, attempt, process_id, started_at, finished_at)
  SELECT job_id, state, attempt, process_id,
         moment - (ended_ago + duration) * interval '1 second', moment - ended_ago * interval '1 second'
  FROM held CROSS JOIN (SELECT {now} AS moment) AS clock WHERE state <> 'deleted'
), jobs AS (
  DELETE FROM queued.jobs WHERE id = ANY ((SELECT ids FROM over)::bigint[])
), attempts AS (
  DELETE FROM queued.attempts WHERE job_id = ANY ((SELECT ids FROM over)::bigint[])
), checkpoints AS (
  DELETE FROM queued.checkpoints WHERE job_id = ANY ((SELECT ids FROM over)::bigint[])
), interruptions AS (
  DELETE FROM queued.interruptions WHERE job_id = ANY ((SELECT ids FROM over)::bigint[])
), runs AS (
  UPDATE queued.recurring_runs AS r
  SET outcome = 'finished',
      finished_at = {now} - (SELECT ended_ago FROM held WHERE job_id = r.job_id) * interval '1 second'
  WHERE outcome IS NULL AND job_id = ANY ((SELECT ids FROM over)::bigint[])
)
SELECT job_id, lease FROM ended WHERE (SELECT count(*) FROM held) < :count AND lease <> ALL (ARRAY(SELECT lease FROM held))

-- name: release
-- Give claims back, untouched: the same attempt, at the right end of their lanes.
WITH given AS (
  SELECT job_id, lease FROM unnest(:ids::bigint[], :leases::bigint[]) AS g(job_id, lease)
), gone AS (
  DELETE FROM queued.claimed AS c USING given AS g WHERE c.job_id = g.job_id AND c.lease = g.lease
  RETURNING c.job_id, c.queue, c.priority, c.attempt, c.ties
)
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
SELECT job_id, queue, priority, attempt, ties FROM gone ORDER BY job_id
RETURNING job_id, queue, priority, seq, ties

-- name: of_process
-- A process's claims, locked: whoever settles them first is alone.
SELECT job_id, lease, process_id, queue, priority, attempt, ties, started_at, cancel_at
FROM queued.claimed WHERE process_id = :process_id ORDER BY job_id FOR UPDATE

-- name: mark_started
-- A claim has started, and lasts.
UPDATE queued.claimed SET started_at = {now} - :ago * interval '1 second'
WHERE job_id = :job_id AND lease = :lease AND started_at IS NULL
