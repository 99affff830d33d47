-- name: lapsed
-- Jobs that can no longer start in time.
SELECT job_id FROM queued.expiries WHERE expires_at <= {now} ORDER BY expires_at LIMIT :batch_size
