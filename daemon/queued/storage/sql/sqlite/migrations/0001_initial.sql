-- Moments are microseconds since 1970 (UTC).
-- A row's table is its state: ready, scheduled, claimed, failed, finished. `jobs` is the durable record and is written once.
-- No foreign keys between hot tables; one transaction moves a row.

CREATE TABLE queued_jobs (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  class_name   TEXT NOT NULL,
  queue        TEXT NOT NULL,
  priority     INTEGER NOT NULL,
  arguments    TEXT NOT NULL,
  options      TEXT,
  enqueued_at  INTEGER NOT NULL DEFAULT {now},
  run_at       INTEGER
);

-- Claimed in the order (queue, priority, seq); the index ends in seq, for that is the row id. A retried or due job gets a new
-- seq, larger than any other in the table, so new work is always to the right.
CREATE TABLE queued_ready (
  seq       INTEGER PRIMARY KEY,
  job_id    INTEGER NOT NULL,
  queue     TEXT NOT NULL,
  priority  INTEGER NOT NULL,
  attempt   INTEGER NOT NULL DEFAULT 1,
  ready_at  INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_ready_lane ON queued_ready (queue, priority);

CREATE TABLE queued_scheduled (
  job_id    INTEGER PRIMARY KEY,
  queue     TEXT NOT NULL,
  priority  INTEGER NOT NULL,
  attempt   INTEGER NOT NULL DEFAULT 1,
  run_at    INTEGER NOT NULL
);
CREATE INDEX queued_scheduled_due ON queued_scheduled (run_at, priority, job_id);

-- One row for each job in a process's hands. `lease` fences every later statement about the attempt.
-- started_at is null until the process reports a start that lasted; a prefetched job has none.
CREATE TABLE queued_claimed (
  job_id      INTEGER PRIMARY KEY,
  lease       INTEGER NOT NULL,
  process_id  INTEGER NOT NULL,
  queue       TEXT NOT NULL,
  priority    INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  claimed_at  INTEGER NOT NULL DEFAULT {now},
  started_at  INTEGER,
  cancel_at   INTEGER
);

CREATE TABLE queued_failed (
  job_id       INTEGER PRIMARY KEY,
  queue        TEXT NOT NULL,
  attempt      INTEGER NOT NULL,
  error_class  TEXT NOT NULL,
  message      TEXT NOT NULL,
  backtrace    TEXT NOT NULL,
  failed_at    INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_failed_at ON queued_failed (failed_at, job_id);

-- Insert-only. state is 'finished', 'discarded' or 'cancelled'; started_at is null when the job never ran.
CREATE TABLE queued_finished (
  job_id       INTEGER PRIMARY KEY,
  state        TEXT NOT NULL CHECK (state IN ('finished', 'discarded', 'cancelled')),
  attempt      INTEGER NOT NULL,
  process_id   INTEGER,
  started_at   INTEGER,
  finished_at  INTEGER NOT NULL
);
CREATE INDEX queued_finished_at ON queued_finished (state, finished_at);

-- Attempts that did not end well, one row each, kept as long as the job. `counted` is false once an operator's retry
-- has given the job a new start: it no longer counts against a retry policy or the crash limit.
CREATE TABLE queued_attempts (
  job_id        INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  policy        TEXT,
  error_class   TEXT NOT NULL,
  message       TEXT NOT NULL,
  backtrace     TEXT NOT NULL,
  hostname      TEXT,
  process_name  TEXT,
  started_at    INTEGER,
  ended_at      INTEGER NOT NULL DEFAULT {now},
  counted       INTEGER NOT NULL DEFAULT 1 CHECK (counted IN (0, 1)),
  PRIMARY KEY (job_id, attempt)
);

CREATE TABLE queued_queues (
  name        TEXT PRIMARY KEY,
  paused_at   INTEGER,
  created_at  INTEGER NOT NULL DEFAULT {now}
);

-- identity tells on the same host whether the process still lives: boot id, pid namespace, start time.
CREATE TABLE queued_processes (
  id                 INTEGER PRIMARY KEY AUTOINCREMENT,
  name               TEXT NOT NULL UNIQUE,
  kind               TEXT NOT NULL,
  supervisor         TEXT,
  pid                INTEGER NOT NULL,
  hostname           TEXT NOT NULL,
  identity           TEXT NOT NULL,
  metadata           TEXT NOT NULL DEFAULT '{}',
  started_at         INTEGER NOT NULL DEFAULT {now},
  last_heartbeat_at  INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_processes_heartbeat ON queued_processes (last_heartbeat_at);
