-- name: lock
-- One migrator at a time; released with the transaction, so it works behind a pooler too.
SELECT pg_advisory_xact_lock(:lock)

-- name: patience
-- A migration may take its time, and so may the wait for another host's.
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)

-- name: record
-- A migration was applied.
INSERT INTO queued.migrations (version, name, breaking) VALUES (:version, :name, :breaking)
