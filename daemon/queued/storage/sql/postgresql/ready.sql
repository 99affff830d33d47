-- name: lanes
-- Every lane that holds a job, by jumping from lane to lane in the index (a loose index scan).
WITH RECURSIVE lane AS (
  (SELECT queue, priority FROM queued.ready ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT next.queue, next.priority
  FROM lane CROSS JOIN LATERAL (
    SELECT r.queue, r.priority FROM queued.ready AS r
    WHERE (r.queue, r.priority) > (lane.queue, lane.priority) ORDER BY r.queue, r.priority LIMIT 1
  ) AS next
)
SELECT queue, priority FROM lane

-- name: claim
-- Take up to :limit jobs from the given lanes. The lateral limits are fences: no plan can walk a whole table.
-- Nobody looks for the claims of a process that is not registered, so it gets none.
-- Arguments of more than :light bytes stay behind; what they weigh is told instead, and `arguments` reads as many as there is room for.
-- A claim waits for no disk: losing one in a crash of the server only makes its jobs ready again.
WITH lane AS MATERIALIZED (
  SELECT l.queue, l.priority, head.seq AS head
  FROM (SELECT set_config('synchronous_commit', 'off', true)) AS light(value)
  CROSS JOIN unnest(:queues::text[], :priorities::bigint[], :ranks::bigint[], :marks::bigint[]) AS l(queue, priority, rank, mark)
  CROSS JOIN LATERAL (
    SELECT r.seq FROM queued.ready AS r
    WHERE r.queue = l.queue AND r.priority = l.priority AND r.seq >= l.mark ORDER BY r.seq LIMIT 1
  ) AS head
  WHERE NOT EXISTS (SELECT FROM queued.queues AS q WHERE q.name = l.queue AND q.paused_at IS NOT NULL)
    AND EXISTS (SELECT FROM queued.processes AS p WHERE p.id = :process_id)
  ORDER BY l.rank, l.priority, head.seq
), picked AS MATERIALIZED (
  SELECT p.place
  FROM lane CROSS JOIN LATERAL (
    SELECT r.ctid AS place FROM queued.ready AS r
    WHERE r.queue = lane.queue AND r.priority = lane.priority AND r.seq >= lane.head
    ORDER BY r.seq LIMIT :limit FOR UPDATE SKIP LOCKED
  ) AS p
  LIMIT :limit
), gone AS (
  DELETE FROM queued.ready WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
  RETURNING job_id, queue, priority, seq, attempt, ties, ready_at
), leased AS (
  SELECT job_id, queue, priority, seq, attempt, ties, ready_at, :lease::bigint + row_number() OVER () AS lease FROM gone
), taken AS (
  INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt, ties)
  SELECT job_id, lease, :process_id, queue, priority, attempt, ties FROM leased
)
SELECT j.id, l.lease, j.class_name, l.queue, l.priority, l.attempt,
  CASE WHEN octet_length(j.arguments) <= :light THEN j.arguments END AS arguments, j.options,
  date_part('epoch', j.enqueued_at) AS enqueued,
  CASE WHEN l.attempt > 1 THEN (
    SELECT json_object_agg(c.policy, c.spent)::text FROM (
      SELECT a.policy, count(*) AS spent FROM queued.attempts AS a
      WHERE a.job_id = l.job_id AND a.counted AND a.policy IS NOT NULL GROUP BY a.policy
    ) AS c
  ) END AS counters,
  l.ties,
  (SELECT k.steps FROM queued.checkpoints AS k WHERE k.job_id = l.job_id) AS steps,
  date_part('epoch', now() - l.ready_at) AS waited,
  CASE WHEN octet_length(j.arguments) > :light THEN octet_length(j.arguments) END AS heavy, l.seq
FROM leased AS l CROSS JOIN LATERAL (
  SELECT id, class_name, arguments, options, enqueued_at FROM queued.jobs WHERE id = l.job_id LIMIT 1
) AS j

-- name: claim_programs
-- As `claim`, of programs alone. They are few, and the index ready_programs holds nothing else, so no marks and no fences.
WITH picked AS MATERIALIZED (
  SELECT r.ctid AS place
  FROM unnest(:queues::text[], :priorities::bigint[], :ranks::bigint[]) AS l(queue, priority, rank)
  JOIN queued.ready AS r ON r.queue = l.queue AND r.priority = l.priority AND (r.ties & 128) <> 0
  WHERE NOT EXISTS (SELECT FROM queued.queues AS q WHERE q.name = l.queue AND q.paused_at IS NOT NULL)
    AND EXISTS (SELECT FROM queued.processes AS p WHERE p.id = :process_id)
  ORDER BY l.rank, l.priority, r.seq LIMIT :limit FOR UPDATE OF r SKIP LOCKED
), gone AS (
  DELETE FROM queued.ready WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
  RETURNING job_id, queue, priority, seq, attempt, ties, ready_at
), leased AS (
  SELECT job_id, queue, priority, seq, attempt, ties, ready_at, :lease::bigint + row_number() OVER () AS lease FROM gone
), taken AS (
  INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt, ties)
  SELECT job_id, lease, :process_id, queue, priority, attempt, ties FROM leased
)
SELECT j.id, l.lease, j.class_name, l.queue, l.priority, l.attempt,
  CASE WHEN octet_length(j.arguments) <= :light THEN j.arguments END AS arguments, j.options,
  date_part('epoch', j.enqueued_at) AS enqueued,
  (SELECT json_object_agg(c.policy, c.spent)::text FROM (
     SELECT a.policy, count(*) AS spent FROM queued.attempts AS a
     WHERE a.job_id = l.job_id AND a.counted AND a.policy IS NOT NULL GROUP BY a.policy
   ) AS c) AS counters,
  l.ties, NULL AS steps, date_part('epoch', now() - l.ready_at) AS waited,
  CASE WHEN octet_length(j.arguments) > :light THEN octet_length(j.arguments) END AS heavy, l.seq
FROM leased AS l JOIN queued.jobs AS j ON j.id = l.job_id

-- name: put_many
-- Make jobs with ties ready, to the right of all others.
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
SELECT * FROM unnest(:ids::bigint[], :queues::text[], :priorities::bigint[], :attempts::bigint[], :ties::bigint[])
RETURNING job_id, queue, priority, seq

-- name: arguments
-- What stayed behind in a claim.
SELECT id, arguments FROM queued.jobs WHERE id = ANY(:ids)

-- name: put_back
-- Undo the claim of some jobs that there is no room for: each has its place in its lane again. Not of those whose cancellation has
-- been asked for since: whoever did so was told that they are in somebody's hands.
WITH given AS (
  SELECT * FROM unnest(:ids::bigint[], :leases::bigint[], :seqs::bigint[], :waits::float8[]) AS g(job_id, lease, seq, waited)
), gone AS (
  DELETE FROM queued.claimed AS c USING given AS g WHERE c.job_id = g.job_id AND c.lease = g.lease AND c.cancel_at IS NULL
  RETURNING g.seq, c.job_id, c.queue, c.priority, c.attempt, c.ties, g.waited
)
INSERT INTO queued.ready (seq, job_id, queue, priority, attempt, ties, ready_at)
SELECT seq, job_id, queue, priority, attempt, ties, {now} - waited * interval '1 second' FROM gone
RETURNING job_id
