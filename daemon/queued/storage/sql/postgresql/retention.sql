-- name: ended
-- Forget a batch of jobs that ended well.
WITH old AS (
  DELETE FROM queued.finished WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM queued.finished
    WHERE state = :state AND finished_at <= {now} - :period * interval '1 second' LIMIT :batch_size FOR UPDATE SKIP LOCKED
  )) RETURNING job_id
), attempts AS (
  DELETE FROM queued.attempts AS a USING old WHERE a.job_id = old.job_id
), checkpoints AS (
  DELETE FROM queued.checkpoints AS k USING old WHERE k.job_id = old.job_id
), interruptions AS (
  DELETE FROM queued.interruptions AS i USING old WHERE i.job_id = old.job_id
)
DELETE FROM queued.jobs AS j USING old WHERE j.id = old.job_id RETURNING j.id

-- name: failed
-- Forget a batch of jobs that failed.
WITH old AS (
  DELETE FROM queued.failed WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM queued.failed
    WHERE failed_at <= {now} - :period * interval '1 second' AND :state = 'failed' LIMIT :batch_size FOR UPDATE SKIP LOCKED
  )) RETURNING job_id
), limits AS (
  DELETE FROM queued.job_limits AS l USING old WHERE l.job_id = old.job_id
), uniques AS (
  DELETE FROM queued.job_uniques AS u USING old WHERE u.job_id = old.job_id
), rates AS (
  DELETE FROM queued.job_rates AS r USING old WHERE r.job_id = old.job_id
), attempts AS (
  DELETE FROM queued.attempts AS a USING old WHERE a.job_id = old.job_id
), checkpoints AS (
  DELETE FROM queued.checkpoints AS k USING old WHERE k.job_id = old.job_id
), interruptions AS (
  DELETE FROM queued.interruptions AS i USING old WHERE i.job_id = old.job_id
)
DELETE FROM queued.jobs AS j USING old WHERE j.id = old.job_id RETURNING j.id
