-- name: lock
-- One migrator at a time; released with the transaction, so it works behind a pooler too. A migration may take its time.
SELECT pg_advisory_xact_lock(:lock), set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)

-- name: record
-- A migration was applied.
INSERT INTO queued.migrations (version, name, breaking) VALUES (:version, :name, :breaking)
