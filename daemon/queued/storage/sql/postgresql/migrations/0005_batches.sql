-- Jobs that belong together. A row is changed only by who holds the lock on it; several are locked in the order of their ids.
CREATE TABLE queued.batches (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  description  text,
  metadata     text,
  total        bigint NOT NULL DEFAULT 0,
  done         bigint NOT NULL DEFAULT 0,
  failed       bigint NOT NULL DEFAULT 0,
  discarded    bigint NOT NULL DEFAULT 0,
  failures     text NOT NULL DEFAULT '[]',
  on_success   text,
  on_failure   text,
  on_finish    text,
  opened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz
) WITH (fillfactor = 50);
CREATE INDEX batches_finished ON queued.batches (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX batches_unfinished ON queued.batches (id) WHERE finished_at IS NULL;

-- The members that have not ended: a retry or a crash keeps the row, a failure for good ends it.
CREATE TABLE queued.batch_jobs (
  job_id    bigint PRIMARY KEY,
  batch_id  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX batch_jobs_of_batch ON queued.batch_jobs (batch_id, job_id);
