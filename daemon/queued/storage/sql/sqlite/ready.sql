-- name: lanes
-- Every lane that holds a job, by jumping from lane to lane in the index. A comparison of pairs would walk the whole lane that it
-- leaves, so the next lane is looked for in the same queue first, and then in the next one.
WITH RECURSIVE lane (queue, priority) AS (
  SELECT * FROM (SELECT queue, priority FROM queued.ready ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT r.queue, r.priority
  FROM lane JOIN queued.ready AS r ON r.seq = COALESCE(
    (SELECT n.seq FROM queued.ready AS n WHERE n.queue = lane.queue AND n.priority > lane.priority
     ORDER BY n.priority LIMIT 1),
    (SELECT n.seq FROM queued.ready AS n WHERE n.queue > lane.queue ORDER BY n.queue, n.priority LIMIT 1)
  )
)
SELECT queue, priority FROM lane

-- name: claim
-- Take up to :limit jobs from the given lanes. CROSS JOIN fixes the order of the loops: lane by lane, each by seq.
-- Nobody looks for the claims of a process that is not registered, so it gets none.
-- Arguments of more than :light bytes stay behind; what they weigh is told instead, and `arguments` reads as many as there is room for.
-- Differs by necessity: no data-modifying CTE, so the picked rows rest in a table of the connection's own.
DELETE FROM temp.picked;

INSERT INTO temp.picked (seq, job_id, queue, priority, attempt, ties, ready_at)
SELECT r.seq, r.job_id, r.queue, r.priority, r.attempt, r.ties, r.ready_at
FROM (
  SELECT given.queue, given.priority, (
    SELECT min(h.seq) FROM queued.ready AS h WHERE h.queue = given.queue AND h.priority = given.priority
  ) AS head
  FROM (
    SELECT json_extract(value, '$[0]') AS queue, json_extract(value, '$[1]') AS priority, json_extract(value, '$[2]') AS rank
    FROM json_each(:rows)
  ) AS given
  WHERE NOT EXISTS (SELECT 1 FROM queued.queues AS q WHERE q.name = given.queue AND q.paused_at IS NOT NULL)
    AND EXISTS (SELECT 1 FROM queued.processes AS p WHERE p.id = :process_id)
  ORDER BY given.rank, given.priority, head
  LIMIT -1
) AS lane
CROSS JOIN queued.ready AS r ON r.queue = lane.queue AND r.priority = lane.priority
LIMIT :limit;

DELETE FROM queued.ready WHERE seq IN (SELECT seq FROM temp.picked);

INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt, ties)
SELECT job_id, :lease + row_number() OVER (ORDER BY seq), :process_id, queue, priority, attempt, ties FROM temp.picked;

SELECT j.id, c.lease, j.class_name, p.queue, p.priority, p.attempt,
  CASE WHEN length(j.arguments) <= :light THEN j.arguments END AS arguments, j.options, j.enqueued_at / 1000000.0 AS enqueued,
  CASE WHEN p.attempt > 1 THEN (
    SELECT json_group_object(s.policy, s.spent) FROM (
      SELECT a.policy AS policy, count(*) AS spent FROM queued.attempts AS a
      WHERE a.job_id = p.job_id AND a.counted AND a.policy IS NOT NULL GROUP BY a.policy
    ) AS s
  ) END AS counters,
  p.ties,
  (SELECT k.steps FROM queued.checkpoints AS k WHERE k.job_id = p.job_id) AS steps,
  (c.claimed_at - p.ready_at) / 1000000.0 AS waited,
  CASE WHEN length(j.arguments) > :light THEN length(j.arguments) END AS heavy, p.seq
FROM temp.picked AS p
CROSS JOIN queued.jobs AS j ON j.id = p.job_id
CROSS JOIN queued.claimed AS c ON c.job_id = p.job_id

-- name: claim_programs
-- As `claim`, of programs alone. They are few, and the index ready_programs holds nothing else.
DELETE FROM temp.picked;

INSERT INTO temp.picked (seq, job_id, queue, priority, attempt, ties, ready_at)
SELECT r.seq, r.job_id, r.queue, r.priority, r.attempt, r.ties, r.ready_at
FROM json_each(:rows) AS given
CROSS JOIN queued.ready AS r ON r.queue = json_extract(given.value, '$[0]') AND r.priority = json_extract(given.value, '$[1]')
     AND (r.ties & 128) <> 0
WHERE NOT EXISTS (SELECT 1 FROM queued.queues AS q WHERE q.name = r.queue AND q.paused_at IS NOT NULL)
  AND EXISTS (SELECT 1 FROM queued.processes AS p WHERE p.id = :process_id)
ORDER BY json_extract(given.value, '$[2]'), r.priority, r.seq
LIMIT :limit;

DELETE FROM queued.ready WHERE seq IN (SELECT seq FROM temp.picked);

INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt, ties)
SELECT job_id, :lease + row_number() OVER (ORDER BY seq), :process_id, queue, priority, attempt, ties FROM temp.picked;

SELECT j.id, c.lease, j.class_name, p.queue, p.priority, p.attempt,
  CASE WHEN length(j.arguments) <= :light THEN j.arguments END AS arguments, j.options, j.enqueued_at / 1000000.0 AS enqueued,
  (SELECT json_group_object(s.policy, s.spent) FROM (
     SELECT a.policy AS policy, count(*) AS spent FROM queued.attempts AS a
     WHERE a.job_id = p.job_id AND a.counted AND a.policy IS NOT NULL GROUP BY a.policy
   ) AS s) AS counters,
  p.ties, NULL AS steps, (c.claimed_at - p.ready_at) / 1000000.0 AS waited,
  CASE WHEN length(j.arguments) > :light THEN length(j.arguments) END AS heavy, p.seq
FROM temp.picked AS p
CROSS JOIN queued.jobs AS j ON j.id = p.job_id
CROSS JOIN queued.claimed AS c ON c.job_id = p.job_id

-- name: put_many
-- Make jobs with ties ready, to the right of all others.
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
       json_extract(value, '$[4]')
FROM json_each(:rows)
RETURNING job_id, queue, priority, seq

-- name: arguments
-- What stayed behind in a claim.
SELECT id, arguments FROM queued.jobs WHERE id IN (SELECT value FROM json_each(:ids))

-- name: put_back
-- Undo the claim of some jobs that there is no room for: each has its place in its lane again, which nobody has taken meanwhile,
-- for this is the transaction of the claim.
INSERT INTO queued.ready (seq, job_id, queue, priority, attempt, ties, ready_at)
SELECT json_extract(g.value, '$[2]'), c.job_id, c.queue, c.priority, c.attempt, c.ties,
       {now} - CAST(json_extract(g.value, '$[3]') * 1000000 AS INTEGER)
FROM json_each(:rows) AS g
CROSS JOIN queued.claimed AS c ON c.job_id = json_extract(g.value, '$[0]') AND c.lease = json_extract(g.value, '$[1]')
RETURNING job_id;

DELETE FROM queued.claimed WHERE job_id IN (SELECT json_extract(value, '$[0]') FROM json_each(:rows))
