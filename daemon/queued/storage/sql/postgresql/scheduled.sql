-- name: put
-- Schedule one job so many seconds from now.
INSERT INTO queued.scheduled (job_id, queue, priority, attempt, run_at)
VALUES (:job_id, :queue, :priority, :attempt, {now} + :wait * interval '1 second')

-- name: dispatch
-- Make due jobs ready, the longest due first.
WITH due AS MATERIALIZED (
  SELECT ctid AS place FROM queued.scheduled WHERE run_at <= {now}
  ORDER BY run_at, priority, job_id LIMIT :batch_size FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM queued.scheduled WHERE ctid = ANY (ARRAY(SELECT place FROM due))
  RETURNING job_id, queue, priority, attempt, run_at
)
INSERT INTO queued.ready (job_id, queue, priority, attempt)
SELECT job_id, queue, priority, attempt FROM gone ORDER BY run_at, priority, job_id
RETURNING queue, priority, seq

-- name: next_due
-- Seconds until the next job is due.
SELECT extract(epoch FROM min(run_at) - {now})::float8 AS seconds FROM queued.scheduled
