-- What an operator reads. A job's state is the table it is in; one that is in none of claimed, scheduled, blocked, failed and
-- finished is ready. Whatever could count or search a whole table stops at :cap rows.

-- name: now
SELECT {now} AS now_at;

-- name: count_ready
SELECT count(*) AS n FROM (SELECT 1 FROM queued.ready LIMIT :cap) AS counted;

-- name: longest_due
SELECT run_at AS due_at FROM queued.scheduled ORDER BY run_at LIMIT 1;

-- name: count_failed_since
SELECT count(*) AS n FROM (SELECT 1 FROM queued.failed WHERE failed_at >= :since LIMIT :cap) AS counted;

-- name: count_ends_since
-- How the jobs that ended lately ended.
SELECT state, count(*) AS n
FROM (SELECT state FROM queued.finished WHERE state IN ('finished', 'discarded', 'cancelled') AND finished_at >= :since LIMIT :cap) AS counted
GROUP BY state;

-- name: queues
-- The queues that a worker has seen or somebody has paused; others are known by the jobs in them.
SELECT name, paused_at FROM queued.queues;

-- name: count_ready_in
SELECT count(*) AS n FROM (SELECT 1 FROM queued.ready WHERE queue = :queue LIMIT :cap) AS counted;

-- name: scheduled_by_queue
SELECT queue, count(*) AS n FROM (SELECT queue FROM queued.scheduled LIMIT :cap) AS counted GROUP BY queue;

-- name: claimed_by_queue
SELECT queue, count(*) AS n FROM (SELECT queue FROM queued.claimed LIMIT :cap) AS counted GROUP BY queue;

-- name: blocked_by_queue
SELECT queue, count(*) AS n FROM (SELECT queue FROM queued.blocked LIMIT :cap) AS counted GROUP BY queue;

-- name: failed_by_queue
SELECT queue, count(*) AS n FROM (SELECT queue FROM queued.failed LIMIT :cap) AS counted GROUP BY queue;

-- name: claimed_by_process
SELECT process_id, count(*) AS n, count(started_at) AS started
FROM (SELECT process_id, started_at FROM queued.claimed LIMIT :cap) AS counted
GROUP BY process_id;

-- name: processes
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at, {now} AS now_at
FROM queued.processes
ORDER BY id;

-- name: job
-- One job and its row in every table but ready.
SELECT j.id, j.class_name, j.queue, j.priority, j.arguments, j.options, j.enqueued_at, j.run_at, {now} AS now_at,
       s.queue AS scheduled_queue, s.priority AS scheduled_priority, s.attempt AS scheduled_attempt, s.run_at AS due_at,
       c.queue AS claimed_queue, c.priority AS claimed_priority, c.attempt AS claimed_attempt, c.process_id,
       c.claimed_at, c.started_at, c.cancel_at,
       b.queue AS blocked_queue, b.priority AS blocked_priority, b.attempt AS blocked_attempt, b.blocked_at,
       f.queue AS failed_queue, f.attempt AS failed_attempt, f.error_class, f.message, f.backtrace, f.failed_at,
       e.state AS end_state, e.attempt AS end_attempt, e.process_id AS end_process_id, e.started_at AS end_started_at,
       e.finished_at
FROM queued.jobs AS j
LEFT JOIN queued.finished AS e ON e.job_id = j.id
LEFT JOIN queued.claimed AS c ON c.job_id = j.id
LEFT JOIN queued.scheduled AS s ON s.job_id = j.id
LEFT JOIN queued.failed AS f ON f.job_id = j.id
LEFT JOIN queued.blocked AS b ON b.job_id = j.id
WHERE j.id = :id;

-- name: ready_in_lane
-- The ready row of a job, looked for in the lane where it was enqueued.
SELECT queue, priority, attempt, ready_at FROM queued.ready
WHERE queue = :queue AND priority = :priority AND job_id = :id
LIMIT 1;

-- name: ready_anywhere
-- The ready row of a job that a retry moved to another lane: reads the whole table, so it is asked last.
SELECT queue, priority, attempt, ready_at FROM queued.ready WHERE job_id = :id LIMIT 1;

-- name: attempts
SELECT attempt, policy, error_class, message, backtrace, hostname, process_name, started_at, ended_at, counted
FROM queued.attempts WHERE job_id = :id ORDER BY attempt;

-- name: checkpoint
-- How far a job has come, if it tells.
SELECT steps, done, total, message, saved_at FROM queued.checkpoints WHERE job_id = :id;

-- name: task
-- The recurring task that a job is a run of.
SELECT task_key FROM queued.recurring_runs WHERE job_id = :id LIMIT 1;

-- name: process
SELECT id, name, kind, supervisor, pid, hostname, metadata, started_at, last_heartbeat_at, {now} AS now_at
FROM queued.processes WHERE id = :id;

-- name: queue
SELECT name, paused_at FROM queued.queues WHERE name = :queue;

-- name: state
-- Where one job is; no row when there is no such job.
SELECT COALESCE(e.state, CASE WHEN c.job_id IS NOT NULL THEN 'running' WHEN s.job_id IS NOT NULL THEN 'scheduled'
                              WHEN f.job_id IS NOT NULL THEN 'failed'
                              WHEN b.job_id IS NOT NULL THEN 'blocked' ELSE 'ready' END) AS state,
       j.queue, j.priority
FROM queued.jobs AS j
LEFT JOIN queued.finished AS e ON e.job_id = j.id
LEFT JOIN queued.claimed AS c ON c.job_id = j.id
LEFT JOIN queued.scheduled AS s ON s.job_id = j.id
LEFT JOIN queued.failed AS f ON f.job_id = j.id
LEFT JOIN queued.blocked AS b ON b.job_id = j.id
WHERE j.id = :id;

-- name: limits_of
-- The limits of a job, who holds each (the first few), and how many may.
SELECT l.key, COALESCE(k.capacity, l.capacity) AS capacity, l.duration, l.on_conflict,
       b.key IS NOT NULL AS is_waited_for,
       (SELECT count(*) FROM queued.slots AS s WHERE s.key = l.key) AS held
FROM queued.job_limits AS l
LEFT JOIN queued.limits AS k ON k.key = l.key
LEFT JOIN queued.blocked AS b ON b.job_id = l.job_id AND b.key = l.key
WHERE l.job_id = :id
ORDER BY l.key;

-- name: holders
-- The jobs that hold a key, the oldest first.
SELECT job_id FROM queued.slots WHERE key = :key ORDER BY job_id LIMIT :few;

-- name: ahead_of
-- How many are in line before a job.
SELECT count(*) AS n FROM (
  SELECT 1 FROM queued.blocked AS b JOIN queued.blocked AS o ON o.key = b.key AND (o.priority, o.job_id) < (b.priority, b.job_id)
  WHERE b.job_id = :id LIMIT :cap
) AS counted;

-- name: locks
-- Keys that jobs hold or wait for.
SELECT l.key, l.capacity,
       (SELECT count(*) FROM queued.slots AS s WHERE s.key = l.key) AS held,
       (SELECT count(*) FROM (SELECT 1 FROM queued.blocked AS b WHERE b.key = l.key LIMIT :cap) AS counted) AS blocked
FROM queued.limits AS l
WHERE l.key > :after
  AND (EXISTS (SELECT 1 FROM queued.slots AS s WHERE s.key = l.key) OR EXISTS (SELECT 1 FROM queued.blocked AS b WHERE b.key = l.key))
ORDER BY l.key LIMIT :page;

-- name: unique_of
-- The unique key of a job: the one that depends on its life, else one that it holds for a period.
SELECT u.key, u.until, k.job_id AS holder, k.expires_at
FROM queued.job_uniques AS u LEFT JOIN queued.unique_keys AS k ON k.key = u.key
WHERE u.job_id = :id
UNION ALL
SELECT k.key, NULL, k.job_id, k.expires_at FROM queued.unique_keys AS k
WHERE k.job_id = :id AND k.expires_at IS NOT NULL;

-- name: rate_of
SELECT key, starts, period, has_turn FROM queued.job_rates WHERE job_id = :id;

-- name: expiry_of
SELECT expires_at FROM queued.expiries WHERE job_id = :id;

-- name: interruptions
SELECT times, reason, attempt, hostname, process_name, interrupted_at FROM queued.interruptions WHERE job_id = :id;
