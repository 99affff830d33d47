-- name: sweep
-- Forget keys whose period is over.
DELETE FROM queued.unique_keys WHERE expires_at <= {now}
