-- name: ended
-- Forget those jobs of the next stretch that ended well, their state's period ago or earlier; a period of null is for ever. The row
-- without a state says where the stretch ends, and how many seconds ago its last job was enqueued.
WITH reach AS MATERIALIZED (
  SELECT s.job_id AS last, COALESCE((
    SELECT extract(epoch FROM {now} - j.enqueued_at)::float8 FROM queued.jobs AS j WHERE j.id = s.job_id
  ), 0) AS age
  FROM (
    SELECT job_id FROM queued.finished WHERE job_id > :after ORDER BY job_id LIMIT :batch_size
  ) AS s ORDER BY s.job_id DESC LIMIT 1
), old AS (
  DELETE FROM queued.finished WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM queued.finished
    WHERE job_id > :after AND job_id <= (SELECT last FROM reach)
      AND finished_at <= {now} - interval '1 second' * CASE state
        WHEN 'finished' THEN :finished::float8 WHEN 'discarded' THEN :discarded::float8 ELSE :cancelled::float8 END
    FOR UPDATE SKIP LOCKED
  )) RETURNING job_id, state
), attempts AS (
  DELETE FROM queued.attempts AS a USING old WHERE a.job_id = old.job_id
), checkpoints AS (
  DELETE FROM queued.checkpoints AS k USING old WHERE k.job_id = old.job_id
), interruptions AS (
  DELETE FROM queued.interruptions AS i USING old WHERE i.job_id = old.job_id
), gone AS (
  DELETE FROM queued.jobs AS j USING old WHERE j.id = old.job_id RETURNING old.state
)
SELECT state, NULL AS last, NULL AS age FROM gone
UNION ALL
SELECT NULL, last, age FROM reach

-- name: failed
-- Forget a batch of jobs that failed.
WITH old AS (
  DELETE FROM queued.failed WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM queued.failed
    WHERE failed_at <= {now} - :period * interval '1 second' LIMIT :batch_size FOR UPDATE SKIP LOCKED
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
