-- name: insert
-- Enter a task.
INSERT INTO queued.recurring_tasks (key, source, class_name, arguments, queue, priority, timeout, schedule, timezone,
                                    description, missed, overlap, jitter, enabled)
VALUES (:key, :source, :class_name, :arguments, :queue, :priority, :timeout, :schedule, :timezone,
        :description, :missed, :overlap, :jitter, :enabled);

-- name: update
-- Give a task another definition. A scheduler plans it anew where the schedule has changed.
UPDATE queued.recurring_tasks
SET source = :source, class_name = :class_name, arguments = :arguments, queue = :queue, priority = :priority,
    timeout = :timeout, schedule = :schedule, timezone = :timezone, description = :description, missed = :missed,
    overlap = :overlap, jitter = :jitter, enabled = :enabled, version = version + 1, updated_at = {now}, problem = NULL, held = NULL,
    next_run_at = CASE WHEN :anew THEN NULL ELSE next_run_at END, due_at = CASE WHEN :anew THEN NULL ELSE due_at END
WHERE key = :key;

-- name: delete
-- Forget a task, and who listed it.
DELETE FROM queued.recurring_tasks WHERE key = :key;

-- name: delete_owners
DELETE FROM queued.recurring_owners WHERE task_key = :key;

-- name: delete_runs
DELETE FROM queued.recurring_runs WHERE task_key = :key;

-- name: pause
-- Start no run on schedule until it is resumed.
UPDATE queued.recurring_tasks SET paused_at = {now}, updated_at = {now} WHERE key = :key AND paused_at IS NULL;

-- name: resume
-- Run on schedule again, from the next moment on: what was missed meanwhile was meant to be.
UPDATE queued.recurring_tasks SET paused_at = NULL, next_run_at = NULL, due_at = NULL, problem = NULL, held = NULL,
  updated_at = {now}
WHERE key = :key AND paused_at IS NOT NULL;

-- name: ask
-- Have a scheduler start one run at once.
UPDATE queued.recurring_tasks SET asked_at = {now} WHERE key = :key;

-- name: planned
-- What a scheduler has worked out.
UPDATE queued.recurring_tasks
SET next_run_at = :next_run_at, due_at = :due_at, last_run_at = COALESCE(:last_run_at, last_run_at), problem = :problem,
    reserved_by = NULL, reserved_until = NULL, held = NULL
WHERE key = :key;

-- name: answered
-- The run that was asked for has been started. One of the schedule that is held back stays so.
UPDATE queued.recurring_tasks
SET asked_at = NULL, reserved_by = NULL, reserved_until = NULL, held = CASE WHEN due_at <= {now} THEN held END
WHERE key = :key;

-- name: hold
-- A run that is due cannot be started yet; any scheduler may try.
UPDATE queued.recurring_tasks SET held = :why, reserved_by = NULL, reserved_until = NULL WHERE key = :key;

-- name: unreserve
-- A scheduler asks no more about this task, or about any.
UPDATE queued.recurring_tasks SET reserved_by = NULL, reserved_until = NULL
WHERE reserved_by = :by AND (CAST(:key AS TEXT) IS NULL OR key = :key);

-- name: list
-- Every task, with how many schedulers have it in their files and are alive, and the last of its runs.
SELECT t.*, {now} AS now_at,
       (SELECT count(*) FROM queued.recurring_owners AS o WHERE o.task_key = t.key AND o.seen_at > :attended) AS attending,
       r.run_at, r.job_id, r.manual, r.outcome, r.message, r.finished_at, r.created_at AS started_at
FROM queued.recurring_tasks AS t
LEFT JOIN queued.recurring_runs AS r ON r.task_key = t.key
     AND r.run_at = (SELECT max(l.run_at) FROM queued.recurring_runs AS l WHERE l.task_key = t.key)
ORDER BY t.key;

-- name: runs
-- The last runs of one task, newest first.
SELECT run_at, job_id, manual, outcome, message, finished_at, created_at AS started_at
FROM queued.recurring_runs WHERE task_key = :key ORDER BY run_at DESC LIMIT :limit;

-- name: last_job
-- The job of the newest run that has one.
SELECT job_id, outcome FROM queued.recurring_runs
WHERE task_key = :key AND job_id IS NOT NULL ORDER BY run_at DESC LIMIT 1;

-- name: record
-- Claim one moment of a task; no row when it has been claimed before.
INSERT INTO queued.recurring_runs (task_key, run_at, manual, outcome, message) VALUES (:key, :run_at, :manual, :outcome, :message)
ON CONFLICT (task_key, run_at) DO NOTHING RETURNING task_key;

-- name: started
-- The job that a run has stored.
UPDATE queued.recurring_runs SET job_id = :job_id WHERE task_key = :key AND run_at = :run_at;

-- name: ended
-- How a run without a job has ended.
UPDATE queued.recurring_runs SET outcome = :outcome, message = :message, finished_at = {now}
WHERE task_key = :key AND run_at = :run_at;

-- name: abandon
-- Who did it has died.
UPDATE queued.recurring_runs SET outcome = 'failed', message = 'it never ended: its scheduler died', finished_at = {now}
WHERE outcome = 'running' AND created_at < :before;

-- name: settle
-- Keep how jobs ended beyond their own time. The job of each open run is looked for by its key: asked for runs whose job is IN
-- `finished`, SQLite walked all of that, in the midst of a write, each minute (28 ms for a million jobs that are in memory, and
-- 1.3 s for four million that lie in a long write-ahead log).
UPDATE queued.recurring_runs
SET outcome = (SELECT f.state FROM queued.finished AS f WHERE f.job_id = queued.recurring_runs.job_id),
    finished_at = (SELECT f.finished_at FROM queued.finished AS f WHERE f.job_id = queued.recurring_runs.job_id)
WHERE outcome IS NULL
  AND (SELECT f.state FROM queued.finished AS f WHERE f.job_id = queued.recurring_runs.job_id) IS NOT NULL;

-- name: own
-- A scheduler's file lists the task.
INSERT INTO queued.recurring_owners (task_key, owner) VALUES (:key, :owner)
ON CONFLICT (task_key, owner) DO UPDATE SET seen_at = {now};

-- name: seen
-- A scheduler with this file lives.
UPDATE queued.recurring_owners SET seen_at = {now} WHERE owner = :owner;

-- name: owned
-- The keys of an owner.
SELECT task_key FROM queued.recurring_owners WHERE owner = :owner ORDER BY task_key;

-- name: owners
-- Who lists a task, and when each was last heard of.
SELECT owner, seen_at FROM queued.recurring_owners WHERE task_key = :key ORDER BY owner;

-- name: disown
-- A scheduler's file lists the task no more.
DELETE FROM queued.recurring_owners WHERE owner = :owner AND task_key = :key;

-- name: unowned
-- Tasks of files that no file lists any more.
SELECT key FROM queued.recurring_tasks AS t
WHERE source = 'file' AND NOT EXISTS (SELECT 1 FROM queued.recurring_owners AS o WHERE o.task_key = t.key) ORDER BY key
