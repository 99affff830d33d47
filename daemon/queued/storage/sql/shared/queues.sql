-- name: note
-- Enter a queue once.
INSERT INTO queued.queues (name) VALUES (:name) ON CONFLICT (name) DO NOTHING

-- name: pause
-- Stop claims from a queue.
UPDATE queued.queues SET paused_at = {now} WHERE name = :name AND paused_at IS NULL

-- name: resume
-- Allow claims from a queue.
UPDATE queued.queues SET paused_at = NULL WHERE name = :name AND paused_at IS NOT NULL

-- name: paused
-- The paused ones.
SELECT name FROM queued.queues WHERE paused_at IS NOT NULL ORDER BY name

-- name: names
-- All of them.
SELECT name FROM queued.queues ORDER BY name
