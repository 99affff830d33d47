-- name: dead
-- Processes that have been silent too long.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at
FROM queued.processes WHERE last_heartbeat_at < {now} - CAST(:threshold * 1000000 AS INTEGER) ORDER BY id

-- name: registered
-- Every process, with the seconds since it was last heard of.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at,
       ({now} - last_heartbeat_at) / 1000000.0 AS age
FROM queued.processes ORDER BY id
