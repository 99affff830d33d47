-- breaking: a worker that does not know of the batches around a batch would never finish those.
-- The batch that one lies in: it finishes only after those inside it. Its id is the smaller one, and it never changes.
ALTER TABLE queued_batches ADD COLUMN parent_id INTEGER;
CREATE INDEX queued_batches_inside ON queued_batches (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX queued_batches_outermost ON queued_batches (id) WHERE parent_id IS NULL;

-- A key may also be held only while its job waits. A check cannot be changed here, so the table is made anew.
CREATE TABLE queued_job_uniques_new (
  job_id  INTEGER PRIMARY KEY,
  key     TEXT NOT NULL,
  until   TEXT NOT NULL CHECK (until IN ('start', 'waiting', 'finish'))
);
INSERT INTO queued_job_uniques_new SELECT job_id, key, until FROM queued_job_uniques;
DROP TABLE queued_job_uniques;
ALTER TABLE queued_job_uniques_new RENAME TO queued_job_uniques;

-- Jobs that were stopped while they ran and went back to wait: how often, and where the last time. No row for any other.
CREATE TABLE queued_interruptions (
  job_id          INTEGER PRIMARY KEY,
  times           INTEGER NOT NULL DEFAULT 1,
  reason          TEXT NOT NULL,
  attempt         INTEGER NOT NULL,
  hostname        TEXT NOT NULL,
  process_name    TEXT NOT NULL,
  interrupted_at  INTEGER NOT NULL
);
