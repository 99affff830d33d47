-- name: put
-- Schedule one job so many seconds from now.
INSERT INTO queued.scheduled (job_id, queue, priority, attempt, run_at)
VALUES (:job_id, :queue, :priority, :attempt, {now} + CAST(:wait * 1000000 AS INTEGER))

-- name: dispatch
-- Make due jobs ready, the longest due first.
-- Differs by necessity: no data-modifying CTE, so the due rows rest in a table of the connection's own.
DELETE FROM temp.picked;

INSERT INTO temp.picked (job_id, queue, priority, attempt)
SELECT job_id, queue, priority, attempt FROM queued.scheduled WHERE run_at <= {now}
ORDER BY run_at, priority, job_id LIMIT :batch_size;

DELETE FROM queued.scheduled WHERE job_id IN (SELECT job_id FROM temp.picked);

INSERT INTO queued.ready (job_id, queue, priority, attempt)
SELECT job_id, queue, priority, attempt FROM temp.picked ORDER BY seq
RETURNING queue, priority, seq

-- name: next_due
-- Seconds until the next job is due.
SELECT (min(run_at) - {now}) / 1000000.0 AS seconds FROM queued.scheduled
