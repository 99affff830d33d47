-- name: prune
-- Forget a batch of old actions.
DELETE FROM queued.audit
WHERE id IN (SELECT id FROM queued.audit WHERE acted_at <= {now} - CAST(:period * 1000000 AS INTEGER) LIMIT :batch_size)
RETURNING id;
