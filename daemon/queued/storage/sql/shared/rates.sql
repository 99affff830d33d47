-- name: sweep
-- Forget keys whose last turn no longer counts.
DELETE FROM queued.rates WHERE idle_at < {now}
