-- name: record
-- An action begins, in the transaction of its first step.
INSERT INTO queued.audit (actor, uid, hostname, origin, action, target, count)
VALUES (:actor, :uid, :hostname, :origin, :action, :target, :count) RETURNING id;

-- name: add
-- A further step of an action.
UPDATE queued.audit SET count = count + :count WHERE id = :id;

-- name: newest
-- Actions, the newest first.
SELECT id, actor, uid, hostname, origin, action, target, count, acted_at
FROM queued.audit
WHERE id < :before AND acted_at >= :since
ORDER BY id DESC LIMIT :page;
