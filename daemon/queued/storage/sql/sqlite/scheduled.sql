-- name: put
-- Schedule one job so many seconds from now.
INSERT INTO queued.scheduled (job_id, queue, priority, attempt, ties, run_at)
VALUES (:job_id, :queue, :priority, :attempt, :ties, {now} + CAST(:wait * 1000000 AS INTEGER))

-- name: dispatch
-- Take due jobs, the longest due first, and make them ready; those with ties (seq is null) must be let in first.
-- Differs by necessity: no data-modifying CTE, so the due rows rest in a table of the connection's own.
DELETE FROM temp.picked;

INSERT INTO temp.picked (job_id, queue, priority, attempt, ties)
SELECT job_id, queue, priority, attempt, ties FROM queued.scheduled WHERE run_at <= {now}
ORDER BY run_at, priority, job_id LIMIT :batch_size;

DELETE FROM queued.scheduled WHERE job_id IN (SELECT job_id FROM temp.picked);

INSERT INTO queued.ready (job_id, queue, priority, attempt)
SELECT job_id, queue, priority, attempt FROM temp.picked WHERE ties = 0 ORDER BY seq;

SELECT job_id, queue, priority, attempt, ties, CASE WHEN ties = 0 THEN 1 END AS seq FROM temp.picked ORDER BY seq

-- name: next_due
-- Seconds until the next job is due.
SELECT (min(run_at) - {now}) / 1000000.0 AS seconds FROM queued.scheduled

-- name: put_new
-- Schedule new jobs for their moment, or for at once.
INSERT INTO queued.scheduled (job_id, queue, priority, ties, run_at)
SELECT j.id, json_extract(n.value, '$[1]'), json_extract(n.value, '$[2]'), json_extract(n.value, '$[3]'),
       COALESCE(j.run_at, j.enqueued_at)
FROM json_each(:rows) AS n CROSS JOIN queued.jobs AS j ON j.id = json_extract(n.value, '$[0]')
RETURNING job_id
