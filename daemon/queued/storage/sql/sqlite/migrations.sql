-- name: lock
-- Nothing to take: a write transaction is alone in the file.
SELECT :lock

-- name: patience
-- Nothing to set: a statement takes the time it takes.
SELECT 1

-- name: record
-- A migration was applied.
INSERT INTO queued.migrations (version, name, breaking, applied_at) VALUES (:version, :name, :breaking, {now})
