-- How ended jobs fared, the newest ids first: who looks at a stretch of them adds them up.

-- name: ended
SELECT e.job_id AS id, j.class_name, j.queue, p.hostname, e.state, e.started_at, e.finished_at AS ended_at,
       COALESCE(j.run_at, j.enqueued_at) AS due_at
FROM (SELECT * FROM queued.finished WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS e
JOIN queued.jobs AS j ON j.id = e.job_id
LEFT JOIN queued.processes AS p ON p.id = e.process_id;

-- name: failed
-- A failed job's last attempt says when it ran.
SELECT f.job_id AS id, j.class_name, f.queue, a.hostname, 'failed' AS state, a.started_at, f.failed_at AS ended_at,
       COALESCE(j.run_at, j.enqueued_at) AS due_at
FROM (SELECT job_id, queue, attempt, failed_at FROM queued.failed WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS f
JOIN queued.jobs AS j ON j.id = f.job_id
LEFT JOIN queued.attempts AS a ON a.job_id = f.job_id AND a.attempt = f.attempt;
