-- name: dead
-- Processes that have been silent too long, and whose death nobody else is settling.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at
FROM queued.processes WHERE last_heartbeat_at < {now} - :threshold * interval '1 second'
ORDER BY id FOR UPDATE SKIP LOCKED

-- name: registered
-- Every process, with the seconds since it was last heard of.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at,
       extract(epoch FROM {now} - last_heartbeat_at)::float8 AS age
FROM queued.processes ORDER BY id
