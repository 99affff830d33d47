-- name: enqueue
-- Store jobs in the order given, all with the same ties; due ones become ready, the others scheduled. A row for each lane;
-- seq is null for those that are scheduled.
-- Differs by necessity: no data-modifying CTE. The writer is alone, so the ids of one statement are consecutive and end at
-- the table's sequence; seq only says "ready", for nothing on SQLite needs its value.
INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, run_at, enqueued_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
       json_extract(value, '$[4]'),
       COALESCE(json_extract(value, '$[5]'), clock.moment + CAST(json_extract(value, '$[6]') * 1000000 AS INTEGER)),
       clock.moment
FROM json_each(:rows) CROSS JOIN (SELECT {now} AS moment) AS clock
ORDER BY key;

INSERT INTO queued.ready (job_id, queue, priority, ties)
SELECT id, queue, priority, :ties FROM queued.jobs
WHERE id > (SELECT seq FROM sqlite_sequence WHERE name = 'queued_jobs') - :count AND (run_at IS NULL OR run_at <= enqueued_at)
ORDER BY id;

INSERT INTO queued.scheduled (job_id, queue, priority, run_at, ties)
SELECT id, queue, priority, run_at, :ties FROM queued.jobs
WHERE id > (SELECT seq FROM sqlite_sequence WHERE name = 'queued_jobs') - :count AND run_at > enqueued_at;

SELECT DISTINCT last.seq - :count + 1 AS first_id, queue, priority,
       CASE WHEN run_at IS NULL OR run_at <= enqueued_at THEN 1 END AS seq
FROM (SELECT seq FROM sqlite_sequence WHERE name = 'queued_jobs') AS last CROSS JOIN queued.jobs
WHERE id > last.seq - :count

-- name: enqueue_alike
-- Store jobs that are due and differ in nothing but their arguments, in the order given: what most calls of many are. A third
-- of the price of the general statement, which takes seven values out of each row of JSON. seq only says "ready", as above.
-- Differs by necessity: no data-modifying CTE.
INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, enqueued_at)
SELECT :class_name, :queue, :priority, value, :options, clock.moment
FROM json_each(:arguments) CROSS JOIN (SELECT {now} AS moment) AS clock
ORDER BY key;

INSERT INTO queued.ready (job_id, queue, priority, ties)
SELECT id, :queue, :priority, :ties FROM queued.jobs
WHERE id > (SELECT seq FROM sqlite_sequence WHERE name = 'queued_jobs') - :count
ORDER BY id;

SELECT seq - :count + 1 AS first_id, 1 AS seq FROM sqlite_sequence WHERE name = 'queued_jobs'

-- name: store
-- Store jobs in the order given and nothing else of them; whether each lies ahead.
INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, run_at, enqueued_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
       json_extract(value, '$[4]'),
       COALESCE(json_extract(value, '$[5]'), clock.moment + CAST(json_extract(value, '$[6]') * 1000000 AS INTEGER)),
       clock.moment
FROM json_each(:rows) CROSS JOIN (SELECT {now} AS moment) AS clock
ORDER BY key;

SELECT id, COALESCE(run_at > enqueued_at, 0) AS lies_ahead
FROM queued.jobs WHERE id > (SELECT seq FROM sqlite_sequence WHERE name = 'queued_jobs') - :count ORDER BY id

-- name: enqueue_one
-- Store one job that is due: what most enqueues are. seq only says "ready", as above. The last statement tells what the
-- connection knows by itself.
-- Differs by necessity: no data-modifying CTE.
INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, enqueued_at)
VALUES (:class_name, :queue, :priority, :arguments, :options, {now});

INSERT INTO queued.ready (job_id, queue, priority) VALUES (last_insert_rowid(), :queue, :priority);

SELECT job_id AS id, 1 AS seq FROM queued.ready WHERE seq = last_insert_rowid()

-- name: transaction
-- Nothing to ask about later: a commit here has no answer that could be lost.
SELECT NULL AS id

-- name: transaction_status
-- As above.
SELECT NULL AS status WHERE :id IS NOT NULL
