-- Which side tables know the job (bits, see domain/ties.py), so that a job without any pays nothing for them.
ALTER TABLE queued_ready ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queued_scheduled ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queued_claimed ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queued_failed ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;

-- One row a key.
CREATE TABLE queued_limits (
  key       TEXT PRIMARY KEY,
  capacity  INTEGER NOT NULL
) WITHOUT ROWID;

-- Who holds a slot: a job that is ready or claimed.
CREATE TABLE queued_slots (
  key     TEXT NOT NULL,
  job_id  INTEGER NOT NULL,
  PRIMARY KEY (key, job_id)
) WITHOUT ROWID;

-- The limits of a job, from its enqueue to its end.
CREATE TABLE queued_job_limits (
  job_id       INTEGER NOT NULL,
  key          TEXT NOT NULL,
  capacity     INTEGER NOT NULL,
  duration     REAL,
  on_conflict  TEXT NOT NULL CHECK (on_conflict IN ('block', 'discard')),
  PRIMARY KEY (job_id, key)
) WITHOUT ROWID;

-- A state of its own beside ready: a job that waits for a slot of `key`, one of its keys that has none free.
CREATE TABLE queued_blocked (
  job_id      INTEGER PRIMARY KEY,
  key         TEXT NOT NULL,
  queue       TEXT NOT NULL,
  priority    INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  ties        INTEGER NOT NULL,
  blocked_at  INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_blocked_line ON queued_blocked (key, priority, job_id);
