-- name: enqueue
-- Store jobs in the order given, all with the same ties; due ones become ready, the others scheduled. A row for each lane;
-- seq, the smallest, is null for those that are scheduled.
WITH incoming AS MATERIALIZED (
  SELECT class_name, queue, priority, arguments, options, position, moment AS now_at,
         COALESCE(run_at, moment + wait * interval '1 second') AS run_at
  FROM unnest(:class_names::text[], :queues::text[], :priorities::bigint[], :arguments::text[], :options::text[],
              :run_ats::timestamptz[], :waits::float8[])
       WITH ORDINALITY AS i(class_name, queue, priority, arguments, options, run_at, wait, position)
  CROSS JOIN (SELECT {now} AS moment) AS clock
), stored AS (
  INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, run_at, enqueued_at)
  SELECT class_name, queue, priority, arguments, options, run_at, now_at FROM incoming ORDER BY position
  RETURNING id, queue, priority, run_at, enqueued_at
), put_ready AS (
  INSERT INTO queued.ready (job_id, queue, priority, ties)
  SELECT id, queue, priority, :ties FROM stored WHERE run_at IS NULL OR run_at <= enqueued_at ORDER BY id
  RETURNING job_id, queue, priority, seq
), put_scheduled AS (
  INSERT INTO queued.scheduled (job_id, queue, priority, run_at, ties)
  SELECT id, queue, priority, run_at, :ties FROM stored WHERE run_at > enqueued_at
  RETURNING job_id, queue, priority
)
SELECT array_agg(job_id) AS ids, queue, priority, min(seq) AS seq FROM put_ready GROUP BY queue, priority
UNION ALL
SELECT array_agg(job_id), queue, priority, NULL FROM put_scheduled GROUP BY queue, priority

-- name: enqueue_alike
-- Store jobs that are due and differ in nothing but their arguments, in the order given: what most calls of many are. Two
-- thirds of the price of the general statement, for what is the same is sent, and looked at, once.
WITH stored AS (
  INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, enqueued_at)
  SELECT :class_name, :queue, :priority, i.arguments, :options, (SELECT {now})
  FROM unnest(:arguments::text[]) WITH ORDINALITY AS i(arguments, position)
  ORDER BY position
  RETURNING id
), put_ready AS (
  INSERT INTO queued.ready (job_id, queue, priority, ties)
  SELECT id, :queue, :priority, :ties FROM stored ORDER BY id
  RETURNING job_id, seq
)
SELECT array_agg(job_id) AS ids, min(seq) AS seq FROM put_ready

-- name: store
-- Store jobs in the order given and nothing else of them; whether each lies ahead.
WITH stored AS (
  INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, run_at, enqueued_at)
  SELECT class_name, queue, priority, arguments, options, COALESCE(run_at, moment + wait * interval '1 second'), moment
  FROM unnest(:class_names::text[], :queues::text[], :priorities::bigint[], :arguments::text[], :options::text[],
              :run_ats::timestamptz[], :waits::float8[])
       WITH ORDINALITY AS i(class_name, queue, priority, arguments, options, run_at, wait, position)
  CROSS JOIN (SELECT {now} AS moment) AS clock
  ORDER BY position
  RETURNING id, run_at, enqueued_at
)
SELECT id, COALESCE(run_at > enqueued_at, false) AS lies_ahead FROM stored ORDER BY id

-- name: enqueue_one
-- Store one job that is due: what most enqueues are, at two thirds of the price of the general statement.
WITH stored AS (
  INSERT INTO queued.jobs (class_name, queue, priority, arguments, options, enqueued_at)
  VALUES (:class_name, :queue, :priority, :arguments, :options, {now})
  RETURNING id, queue, priority
)
INSERT INTO queued.ready (job_id, queue, priority) SELECT id, queue, priority FROM stored
RETURNING job_id AS id, seq

-- name: transaction
-- Which transaction this is.
SELECT pg_current_xact_id()::text AS id

-- name: transaction_status
-- What became of a transaction.
SELECT pg_xact_status(:id::text::xid8) AS status
