-- How far a job has come that can be resumed: its steps, and what it says of its progress. A row only for jobs that tell.
-- `steps` is JSON: {"finished": [[NAME, CURSOR], ...], "step": NAME or null, "cursor": CURSOR}. Rewritten several times a second
-- while the job runs, so half of each page is kept free for the next version of a row.
CREATE TABLE queued.checkpoints (
  job_id    bigint PRIMARY KEY,
  steps     text,
  done      double precision,
  total     double precision,
  message   text,
  saved_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
