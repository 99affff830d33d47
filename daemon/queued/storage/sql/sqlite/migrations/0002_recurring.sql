-- What runs on a schedule. A scheduler acts on these rows and keeps nothing of its own, so that an edit holds from its next look on.
-- next_run_at is the next moment of the schedule, null until a scheduler has worked it out; due_at is that moment and its jitter.
-- asked_at: somebody wants one run now. problem: why the task cannot be planned.
CREATE TABLE queued_recurring_tasks (
  key          TEXT PRIMARY KEY,
  source       TEXT NOT NULL CHECK (source IN ('file', 'dynamic')),
  class_name   TEXT NOT NULL,
  arguments    TEXT NOT NULL,
  queue        TEXT,
  priority     INTEGER,
  timeout      REAL,
  schedule     TEXT NOT NULL,
  timezone     TEXT NOT NULL,
  description  TEXT,
  missed       TEXT NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
  overlap      TEXT NOT NULL CHECK (overlap IN ('allow', 'skip')),
  jitter       REAL NOT NULL,
  enabled      INTEGER NOT NULL,
  paused_at    INTEGER,
  version      INTEGER NOT NULL DEFAULT 1,
  next_run_at  INTEGER,
  due_at       INTEGER,
  last_run_at  INTEGER,
  asked_at     INTEGER,
  problem      TEXT,
  created_at   INTEGER NOT NULL DEFAULT {now},
  updated_at   INTEGER NOT NULL DEFAULT {now}
);

-- Which schedulers' files list a task. A task of files goes when the last of them has dropped it.
CREATE TABLE queued_recurring_owners (
  task_key  TEXT NOT NULL,
  owner     TEXT NOT NULL,
  seen_at   INTEGER NOT NULL DEFAULT {now},
  PRIMARY KEY (task_key, owner)
);

-- One row for each run, stored together with its job: the key keeps two schedulers from running one moment twice.
-- outcome is null while the job's own tables tell it. job_id is null where no job was stored.
CREATE TABLE queued_recurring_runs (
  task_key     TEXT NOT NULL,
  run_at       INTEGER NOT NULL,
  job_id       INTEGER,
  manual       INTEGER NOT NULL DEFAULT 0,
  outcome      TEXT CHECK (outcome IN ('skipped', 'running', 'finished', 'discarded', 'cancelled', 'failed')),
  message      TEXT,
  created_at   INTEGER NOT NULL DEFAULT {now},
  finished_at  INTEGER,
  PRIMARY KEY (task_key, run_at)
);
CREATE INDEX queued_recurring_runs_open ON queued_recurring_runs (job_id) WHERE outcome IS NULL;
CREATE INDEX queued_recurring_runs_created ON queued_recurring_runs (created_at);

-- Signs of life of the whole, written by the recurring task queued.heartbeat.
CREATE TABLE queued_heartbeats (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  environment  TEXT NOT NULL,
  hostname     TEXT NOT NULL,
  message      TEXT NOT NULL,
  beaten_at    INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_heartbeats_beaten ON queued_heartbeats (beaten_at);
