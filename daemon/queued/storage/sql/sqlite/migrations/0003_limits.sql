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

-- Keys of unique jobs that are taken: by whom, and until when if that does not depend on the job.
CREATE TABLE queued_unique_keys (
  key         TEXT PRIMARY KEY,
  job_id      INTEGER NOT NULL,
  expires_at  INTEGER
) WITHOUT ROWID;
CREATE INDEX queued_unique_keys_expiry ON queued_unique_keys (expires_at) WHERE expires_at IS NOT NULL;

-- The key of a job that holds it until its start or its end; kept until it ends.
CREATE TABLE queued_job_uniques (
  job_id  INTEGER PRIMARY KEY,
  key     TEXT NOT NULL,
  until   TEXT NOT NULL CHECK (until IN ('start', 'finish'))
);

-- Until when a job must have started; kept until it starts.
CREATE TABLE queued_expiries (
  job_id      INTEGER PRIMARY KEY,
  expires_at  INTEGER NOT NULL
);
CREATE INDEX queued_expiries_at ON queued_expiries (expires_at);

-- The latest turns of each key of rate limits, as a JSON list of seconds since 1970, and when the last of them no longer counts.
CREATE TABLE queued_rates (
  key      TEXT PRIMARY KEY,
  turns    TEXT NOT NULL DEFAULT '[]',
  idle_at  INTEGER NOT NULL DEFAULT {now}
) WITHOUT ROWID;

-- The rate limit of a job, and whether it waits for its turn or has to ask for one.
CREATE TABLE queued_job_rates (
  job_id    INTEGER PRIMARY KEY,
  key       TEXT NOT NULL,
  starts    INTEGER NOT NULL,
  period    REAL NOT NULL,
  has_turn  INTEGER NOT NULL DEFAULT 0 CHECK (has_turn IN (0, 1))
);
