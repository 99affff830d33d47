-- What monitoring reads. It is asked every few seconds on a busy database: whatever could read a whole table stops at :cap.

-- name: running_since
-- Since when the longest running job of each queue runs. There are no more claims than the workers can hold.
SELECT queue, min(COALESCE(started_at, claimed_at)) AS begun_at
FROM (SELECT queue, started_at, claimed_at FROM queued.claimed LIMIT :cap) AS counted GROUP BY queue;

-- name: oldest_blocked
-- The blocked job that was enqueued first. Nothing is indexed by blocked_at, and none of the others is likely to wait longer.
SELECT blocked_at FROM queued.blocked ORDER BY job_id LIMIT 1;

-- name: tasks
-- Recurring tasks, when the last run of each was started, and when one of its last hundred ended well.
SELECT t.*,
       (SELECT max(r.created_at) FROM (SELECT created_at, outcome FROM queued.recurring_runs WHERE task_key = t.key
                                       ORDER BY run_at DESC LIMIT 100) AS r
        WHERE r.outcome IS NULL OR r.outcome <> 'skipped') AS enqueued_at,
       (SELECT max(r.finished_at) FROM (SELECT finished_at, outcome FROM queued.recurring_runs WHERE task_key = t.key
                                        ORDER BY run_at DESC LIMIT 100) AS r
        WHERE r.outcome = 'finished') AS succeeded_at
FROM (SELECT * FROM queued.recurring_tasks ORDER BY key LIMIT :cap) AS t;
