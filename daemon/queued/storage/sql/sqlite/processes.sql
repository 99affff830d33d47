-- name: beat
-- A process lives.
UPDATE queued.processes SET last_heartbeat_at = {now} WHERE id = :process_id

-- name: beat_and_look
-- As `beat`, and its metadata may have changed; every process, with the seconds since it was last heard of.
UPDATE queued.processes SET last_heartbeat_at = {now}, metadata = :metadata WHERE id = :process_id;

SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at,
       ({now} - last_heartbeat_at) / 1000000.0 AS age
FROM queued.processes ORDER BY id

-- name: dead
-- Processes that have been silent too long.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at
FROM queued.processes WHERE last_heartbeat_at < {now} - CAST(:threshold * 1000000 AS INTEGER) ORDER BY id

-- name: registered
-- Every process, with the seconds since it was last heard of.
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at,
       ({now} - last_heartbeat_at) / 1000000.0 AS age
FROM queued.processes ORDER BY id
