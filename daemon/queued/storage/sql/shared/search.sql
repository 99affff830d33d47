-- Jobs that a query matches. `list` is the frame of every list: {rows} is one of the sections below, {conditions} are sections of
-- `when.sql`, {order} is a section whose name begins with `order`. Rows are cut out of one table by its index, :most at most, before
-- the job is joined to them and the conditions are asked. :arguments and :backtrace are 1 where those texts are wanted, for they may be large.

-- name: list
SELECT id, class_name, queue, priority, state, attempt, enqueued_at, run_at, state_at, error_class, substr(message, 1, 300) AS message,
       done, total, CASE WHEN :arguments = 1 THEN stored END AS arguments, CASE WHEN :backtrace = 1 THEN raised END AS backtrace
FROM ({rows}) AS job
WHERE {conditions}
ORDER BY {order} LIMIT :page;

-- name: order_newest
id DESC

-- name: order_failed_at
state_at DESC, id DESC

-- name: order_run_at
state_at, priority, id

-- name: all
-- The state is what the tables tell. When a ready job became ready is asked afterwards.
SELECT j.id, j.class_name, j.enqueued_at, j.arguments AS stored,
       COALESCE(s.run_at, j.run_at) AS run_at,
       COALESCE(s.queue, c.queue, f.queue, b.queue, j.queue) AS queue,
       COALESCE(s.priority, c.priority, b.priority, j.priority) AS priority,
       COALESCE(e.state, CASE WHEN c.job_id IS NOT NULL THEN 'running' WHEN s.job_id IS NOT NULL THEN 'scheduled'
                              WHEN f.job_id IS NOT NULL THEN 'failed'
                              WHEN b.job_id IS NOT NULL THEN 'blocked' ELSE 'ready' END) AS state,
       COALESCE(e.attempt, c.attempt, s.attempt, f.attempt, b.attempt,
                1 + COALESCE((SELECT max(a.attempt) FROM queued.attempts AS a WHERE a.job_id = j.id), 0)) AS attempt,
       COALESCE(e.finished_at, c.started_at, c.claimed_at, s.run_at, b.blocked_at, f.failed_at, j.run_at, j.enqueued_at) AS state_at,
       f.error_class, f.message, f.backtrace AS raised, k.done, k.total
FROM (SELECT id, class_name, queue, priority, arguments, enqueued_at, run_at FROM queued.jobs
      WHERE id < :before AND id >= :low ORDER BY id DESC LIMIT :most) AS j
LEFT JOIN queued.finished AS e ON e.job_id = j.id
LEFT JOIN queued.claimed AS c ON c.job_id = j.id
LEFT JOIN queued.scheduled AS s ON s.job_id = j.id
LEFT JOIN queued.failed AS f ON f.job_id = j.id
LEFT JOIN queued.blocked AS b ON b.job_id = j.id
LEFT JOIN queued.checkpoints AS k ON k.job_id = j.id

-- name: reach_all
-- How many rows lie below :before, :most at most, and the last of them.
SELECT count(*) AS n, min(id) AS low FROM (SELECT id FROM queued.jobs WHERE id < :before ORDER BY id DESC LIMIT :most) AS reached;

-- name: failed
SELECT f.job_id AS id, j.class_name, f.queue AS queue, j.priority AS priority, 'failed' AS state, f.attempt, j.enqueued_at, j.run_at AS run_at,
       f.failed_at AS state_at, f.error_class, f.message, f.backtrace AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.failed WHERE job_id < :before AND job_id >= :low ORDER BY job_id DESC LIMIT :most) AS f
JOIN queued.jobs AS j ON j.id = f.job_id

-- name: reach_failed
SELECT count(*) AS n, min(job_id) AS low
FROM (SELECT job_id FROM queued.failed WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS reached;

-- name: scheduled
SELECT s.job_id AS id, j.class_name, s.queue AS queue, s.priority AS priority, 'scheduled' AS state, s.attempt, j.enqueued_at, s.run_at AS run_at,
       s.run_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.scheduled WHERE job_id < :before AND job_id >= :low ORDER BY job_id DESC LIMIT :most) AS s
JOIN queued.jobs AS j ON j.id = s.job_id

-- name: reach_scheduled
SELECT count(*) AS n, min(job_id) AS low
FROM (SELECT job_id FROM queued.scheduled WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS reached;

-- name: blocked
SELECT b.job_id AS id, j.class_name, b.queue AS queue, b.priority AS priority, 'blocked' AS state, b.attempt, j.enqueued_at, j.run_at AS run_at,
       b.blocked_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.blocked WHERE job_id < :before AND job_id >= :low ORDER BY job_id DESC LIMIT :most) AS b
JOIN queued.jobs AS j ON j.id = b.job_id

-- name: reach_blocked
SELECT count(*) AS n, min(job_id) AS low
FROM (SELECT job_id FROM queued.blocked WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS reached;

-- name: running
SELECT c.job_id AS id, j.class_name, c.queue AS queue, c.priority AS priority, 'running' AS state, c.attempt, j.enqueued_at, j.run_at AS run_at,
       COALESCE(c.started_at, c.claimed_at) AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, k.done, k.total, j.arguments AS stored
FROM (SELECT * FROM queued.claimed WHERE job_id < :before AND job_id >= :low ORDER BY job_id DESC LIMIT :most) AS c
JOIN queued.jobs AS j ON j.id = c.job_id
LEFT JOIN queued.checkpoints AS k ON k.job_id = c.job_id

-- name: reach_running
SELECT count(*) AS n, min(job_id) AS low
FROM (SELECT job_id FROM queued.claimed WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS reached;

-- name: ended
SELECT e.job_id AS id, j.class_name, j.queue AS queue, j.priority AS priority, e.state, e.attempt, j.enqueued_at, j.run_at AS run_at,
       e.finished_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.finished WHERE job_id < :before AND job_id >= :low ORDER BY job_id DESC LIMIT :most) AS e
JOIN queued.jobs AS j ON j.id = e.job_id

-- name: reach_ended
SELECT count(*) AS n, min(job_id) AS low
FROM (SELECT job_id FROM queued.finished WHERE job_id < :before ORDER BY job_id DESC LIMIT :most) AS reached;

-- name: ready
-- `ready` has no index by job: rows are cut from the :window jobs that would be claimed first.
SELECT r.job_id AS id, j.class_name, r.queue AS queue, r.priority AS priority, 'ready' AS state, r.attempt, j.enqueued_at, j.run_at AS run_at,
       r.ready_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT w.* FROM (SELECT * FROM queued.ready ORDER BY queue, priority, seq LIMIT :window) AS w
      WHERE w.job_id < :before ORDER BY w.job_id DESC LIMIT :most) AS r
JOIN queued.jobs AS j ON j.id = r.job_id

-- name: ready_in
-- The same for one queue.
SELECT r.job_id AS id, j.class_name, r.queue AS queue, r.priority AS priority, 'ready' AS state, r.attempt, j.enqueued_at, j.run_at AS run_at,
       r.ready_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT w.* FROM (SELECT * FROM queued.ready WHERE queue = :queue ORDER BY priority, seq LIMIT :window) AS w
      WHERE w.job_id < :before ORDER BY w.job_id DESC LIMIT :most) AS r
JOIN queued.jobs AS j ON j.id = r.job_id

-- name: lane
-- One lane behind :after, for what must see all ready jobs.
SELECT r.job_id AS id, j.class_name, r.queue AS queue, r.priority AS priority, 'ready' AS state, r.attempt, j.enqueued_at, j.run_at AS run_at,
       r.ready_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.ready WHERE queue = :queue AND priority = :priority AND seq > :after AND seq <= :last
      ORDER BY seq LIMIT :most) AS r
JOIN queued.jobs AS j ON j.id = r.job_id

-- name: reach_lane
SELECT count(*) AS n, max(seq) AS high
FROM (SELECT seq FROM queued.ready WHERE queue = :queue AND priority = :priority AND seq > :after ORDER BY seq LIMIT :most) AS reached;

-- name: failed_by_time
-- Those that failed last come first.
SELECT f.job_id AS id, j.class_name, f.queue AS queue, j.priority AS priority, 'failed' AS state, f.attempt, j.enqueued_at, j.run_at AS run_at,
       f.failed_at AS state_at, f.error_class, f.message, f.backtrace AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.failed WHERE (failed_at, job_id) < (:moment, :id) ORDER BY failed_at DESC, job_id DESC LIMIT :most) AS f
JOIN queued.jobs AS j ON j.id = f.job_id

-- name: reach_failed_by_time
SELECT failed_at AS state_at, job_id AS id FROM queued.failed
WHERE (failed_at, job_id) < (:moment, :id) ORDER BY failed_at DESC, job_id DESC LIMIT 1 OFFSET :skipped;

-- name: scheduled_by_time
-- Those that are due first come first.
SELECT s.job_id AS id, j.class_name, s.queue AS queue, s.priority AS priority, 'scheduled' AS state, s.attempt, j.enqueued_at, s.run_at AS run_at,
       s.run_at AS state_at, NULL AS error_class, NULL AS message, NULL AS raised, NULL AS done, NULL AS total, j.arguments AS stored
FROM (SELECT * FROM queued.scheduled WHERE (run_at, priority, job_id) > (:moment, :priority, :id)
      ORDER BY run_at, priority, job_id LIMIT :most) AS s
JOIN queued.jobs AS j ON j.id = s.job_id

-- name: reach_scheduled_by_time
SELECT run_at AS state_at, priority, job_id AS id FROM queued.scheduled
WHERE (run_at, priority, job_id) > (:moment, :priority, :id) ORDER BY run_at, priority, job_id LIMIT 1 OFFSET :skipped;

-- name: ready_between
-- When jobs of a range of ids became ready, as far as they are among the first :cap to be claimed.
SELECT w.job_id, w.ready_at
FROM (SELECT job_id, ready_at FROM queued.ready ORDER BY queue, priority, seq LIMIT :cap) AS w
WHERE w.job_id BETWEEN :low AND :high;
