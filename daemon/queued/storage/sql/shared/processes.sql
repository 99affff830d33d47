-- name: register
-- A process begins.
INSERT INTO queued.processes (name, kind, supervisor, pid, hostname, identity, metadata)
VALUES (:name, :kind, :supervisor, :pid, :hostname, :identity, :metadata) RETURNING id

-- name: delete
-- A process has ended.
DELETE FROM queued.processes WHERE id = :process_id

-- name: find
-- One process by its name.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at
FROM queued.processes WHERE name = :name
