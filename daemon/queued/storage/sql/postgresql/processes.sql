-- name: beat
-- A process lives. Waits for no disk: a beat that a crash of the server undoes is followed by the next.
UPDATE queued.processes SET last_heartbeat_at = {now}
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS light(value) WHERE id = :process_id

-- name: beat_and_look
-- As `beat`, and its metadata may have changed; every process, with the seconds since it was last heard of until now.
WITH beaten AS (
  UPDATE queued.processes SET last_heartbeat_at = {now}, metadata = :metadata
  FROM (SELECT set_config('synchronous_commit', 'off', true)) AS light(value) WHERE id = :process_id
)
SELECT id, name, kind, supervisor, pid, hostname, identity, metadata, started_at, last_heartbeat_at,
       extract(epoch FROM {now} - last_heartbeat_at)::float8 AS age
FROM queued.processes ORDER BY id

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
