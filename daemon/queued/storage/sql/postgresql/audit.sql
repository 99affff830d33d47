-- name: prune
-- Forget a batch of old actions.
DELETE FROM queued.audit
WHERE id IN (SELECT id FROM queued.audit WHERE acted_at <= {now} - CAST(:period AS double precision) * interval '1 second' LIMIT :batch_size)
RETURNING id;
