-- Jobs that belong together.
CREATE TABLE queued_batches (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  description  TEXT,
  metadata     TEXT,
  total        INTEGER NOT NULL DEFAULT 0,
  done         INTEGER NOT NULL DEFAULT 0,
  failed       INTEGER NOT NULL DEFAULT 0,
  discarded    INTEGER NOT NULL DEFAULT 0,
  failures     TEXT NOT NULL DEFAULT '[]',
  on_success   TEXT,
  on_failure   TEXT,
  on_finish    TEXT,
  opened_at    INTEGER NOT NULL DEFAULT {now},
  finished_at  INTEGER
);
CREATE INDEX queued_batches_finished ON queued_batches (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX queued_batches_unfinished ON queued_batches (id) WHERE finished_at IS NULL;

-- The members that have not ended: a retry or a crash keeps the row, a failure for good ends it.
CREATE TABLE queued_batch_jobs (
  job_id    INTEGER PRIMARY KEY,
  batch_id  INTEGER NOT NULL
);
CREATE INDEX queued_batch_jobs_of_batch ON queued_batch_jobs (batch_id, job_id);
