-- name: lock
-- Nothing to take: a write transaction is alone in the file.
SELECT :lock

-- name: record
-- A migration was applied.
INSERT INTO queued.migrations (version, name, breaking, applied_at) VALUES (:version, :name, :breaking, {now})
