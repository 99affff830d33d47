-- name: ended
-- Forget a batch of jobs that ended well.
-- Differs by necessity: no data-modifying CTE, so the ids rest in a table of the connection's own.
DELETE FROM temp.picked;

INSERT INTO temp.picked (job_id)
SELECT job_id FROM queued.finished
WHERE state = :state AND finished_at <= {now} - CAST(:period * 1000000 AS INTEGER) LIMIT :batch_size;

DELETE FROM queued.finished WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.attempts WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.checkpoints WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.interruptions WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.jobs WHERE id IN (SELECT job_id FROM temp.picked) RETURNING id

-- name: failed
-- Forget a batch of jobs that failed.
DELETE FROM temp.picked;

INSERT INTO temp.picked (job_id)
SELECT job_id FROM queued.failed
WHERE failed_at <= {now} - CAST(:period * 1000000 AS INTEGER) LIMIT :batch_size;

DELETE FROM queued.failed WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.job_limits WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.job_uniques WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.job_rates WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.attempts WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.checkpoints WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.interruptions WHERE job_id IN (SELECT job_id FROM temp.picked);

DELETE FROM queued.jobs WHERE id IN (SELECT job_id FROM temp.picked) RETURNING id
