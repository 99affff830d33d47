-- breaking: a worker that does not know of the batches around a batch would never finish those.
-- The batch that one lies in: it finishes only after those inside it. Its id is the smaller one, and it never changes.
ALTER TABLE queued.batches ADD COLUMN parent_id bigint;
CREATE INDEX batches_inside ON queued.batches (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX batches_outermost ON queued.batches (id) WHERE parent_id IS NULL;

-- A key may also be held only while its job waits.
ALTER TABLE queued.job_uniques DROP CONSTRAINT job_uniques_until_check;
ALTER TABLE queued.job_uniques ADD CONSTRAINT job_uniques_until_check CHECK (until IN ('start', 'waiting', 'finish'));

-- Jobs that were stopped while they ran and went back to wait: how often, and where the last time. No row for any other.
CREATE TABLE queued.interruptions (
  job_id          bigint PRIMARY KEY,
  times           integer NOT NULL DEFAULT 1,
  reason          text NOT NULL,
  attempt         integer NOT NULL,
  hostname        text NOT NULL,
  process_name    text NOT NULL,
  interrupted_at  timestamptz NOT NULL
);
