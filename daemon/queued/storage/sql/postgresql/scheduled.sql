-- name: put
-- Schedule one job so many seconds from now.
INSERT INTO queued.scheduled (job_id, queue, priority, attempt, ties, run_at)
VALUES (:job_id, :queue, :priority, :attempt, :ties, {now} + :wait * interval '1 second')

-- name: dispatch
-- Take due jobs, the longest due first, and make them ready; those with ties (seq is null) must be let in first.
WITH due AS MATERIALIZED (
  SELECT ctid AS place FROM queued.scheduled WHERE run_at <= {now}
  ORDER BY run_at, priority, job_id LIMIT :batch_size FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM queued.scheduled WHERE ctid = ANY (ARRAY(SELECT place FROM due))
  RETURNING job_id, queue, priority, attempt, ties, run_at
), put AS (
  INSERT INTO queued.ready (job_id, queue, priority, attempt)
  SELECT job_id, queue, priority, attempt FROM gone WHERE ties = 0 ORDER BY run_at, priority, job_id
  RETURNING job_id, queue, priority, attempt, ties, seq
)
SELECT job_id, queue, priority, attempt, ties, seq FROM put
UNION ALL
SELECT job_id, queue, priority, attempt, ties, NULL FROM gone WHERE ties <> 0

-- name: next_due
-- Seconds until the next job is due.
SELECT extract(epoch FROM min(run_at) - {now})::float8 AS seconds FROM queued.scheduled

-- name: put_new
-- Schedule new jobs for their moment, or for at once.
INSERT INTO queued.scheduled (job_id, queue, priority, ties, run_at)
SELECT n.job_id, n.queue, n.priority, n.ties, COALESCE(j.run_at, j.enqueued_at)
FROM unnest(:ids::bigint[], :queues::text[], :priorities::bigint[], :ties::bigint[]) AS n(job_id, queue, priority, ties)
CROSS JOIN LATERAL (SELECT run_at, enqueued_at FROM queued.jobs WHERE id = n.job_id OFFSET 0) AS j
RETURNING job_id
