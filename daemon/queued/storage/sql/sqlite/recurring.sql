-- name: due
-- The next task that a scheduler of this owner has to look at; on PostgreSQL one that another is looking at is passed over.
SELECT t.*, {now} AS now_at
FROM queued.recurring_tasks AS t
WHERE (t.asked_at IS NOT NULL
       OR (t.enabled AND t.paused_at IS NULL AND (t.due_at <= {now} OR (t.due_at IS NULL AND t.problem IS NULL))))
  AND t.key NOT IN (SELECT value FROM json_each(:passed))
  AND (t.reserved_until IS NULL OR t.reserved_until <= {now})
  AND ((t.source = 'dynamic' AND :dynamic)
       OR EXISTS (SELECT 1 FROM queued.recurring_owners AS o WHERE o.task_key = t.key AND o.owner = :owner))
ORDER BY t.due_at, t.key LIMIT 1

-- name: next_due
-- Seconds until this owner's scheduler has something to do. What another has reserved may be left to us when that is over.
SELECT min(CASE WHEN t.reserved_until > {now} THEN (max(t.reserved_until, CASE WHEN t.asked_at IS NULL THEN coalesce(t.due_at, 0) ELSE 0 END) - {now}) / 1000000.0
                WHEN t.asked_at IS NOT NULL OR (t.due_at IS NULL AND t.problem IS NULL) THEN 0
                ELSE (t.due_at - {now}) / 1000000.0 END) AS seconds
FROM queued.recurring_tasks AS t
WHERE (t.asked_at IS NOT NULL OR (t.enabled AND t.paused_at IS NULL)) AND t.key NOT IN (SELECT value FROM json_each(:passed))
  AND ((t.source = 'dynamic' AND :dynamic)
       OR EXISTS (SELECT 1 FROM queued.recurring_owners AS o WHERE o.task_key = t.key AND o.owner = :owner))

-- name: find
-- One task; nobody else writes meanwhile.
SELECT t.*, {now} AS now_at FROM queued.recurring_tasks AS t WHERE t.key = :key

-- name: reserve
-- One scheduler asks the application about the next run; the others leave it alone meanwhile.
UPDATE queued.recurring_tasks SET reserved_by = :by, reserved_until = {now} + CAST(:seconds * 1000000 AS INTEGER)
WHERE key = :key

-- name: disown_silent
-- Owners that have been silent for a long time list nothing any more.
DELETE FROM queued.recurring_owners WHERE seen_at < {now} - CAST(:period * 1000000 AS INTEGER)

-- name: prune
-- Forget a batch of old runs, but never the newest of a task.
DELETE FROM queued.recurring_runs WHERE rowid IN (
  SELECT r.rowid FROM queued.recurring_runs AS r
  WHERE r.created_at < {now} - CAST(:period * 1000000 AS INTEGER)
    AND r.run_at < (SELECT n.run_at FROM queued.recurring_runs AS n WHERE n.task_key = r.task_key
                    ORDER BY n.run_at DESC LIMIT 1 OFFSET :kept)
  LIMIT :batch_size
)
