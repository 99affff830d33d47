-- name: lock
-- One migrator at a time; released with the transaction, so it works behind a pooler too.
SELECT pg_advisory_xact_lock(:lock)

-- name: record
-- A migration was applied.
INSERT INTO queued.migrations (version, name, breaking) VALUES (:version, :name, :breaking)
