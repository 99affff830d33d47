-- How far a job has come that can be resumed: its steps, and what it says of its progress. A row only for jobs that tell.
-- `steps` is JSON: {"finished": [[NAME, CURSOR], ...], "step": NAME or null, "cursor": CURSOR}.
CREATE TABLE queued_checkpoints (
  job_id    INTEGER PRIMARY KEY,
  steps     TEXT,
  done      REAL,
  total     REAL,
  message   TEXT,
  saved_at  INTEGER NOT NULL DEFAULT {now}
);
