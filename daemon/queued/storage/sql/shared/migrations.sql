-- name: applied
-- What has been applied, oldest first.
SELECT version, name, breaking FROM queued.migrations ORDER BY version
