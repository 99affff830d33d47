-- name: beat
-- A sign of life.
INSERT INTO queued.heartbeats (environment, hostname, message) VALUES (:environment, :hostname, :message) RETURNING beaten_at;

-- name: recent
-- The newest signs of life.
SELECT environment, hostname, message, beaten_at, {now} AS now_at FROM queued.heartbeats ORDER BY beaten_at DESC, id DESC LIMIT :limit;

-- name: by_host
-- The newest of each host and environment, and how many there are.
SELECT environment, hostname, max(beaten_at) AS beaten_at, count(*) AS n, {now} AS now_at
FROM queued.heartbeats GROUP BY environment, hostname ORDER BY hostname, environment;

-- name: prune
-- Forget old ones.
DELETE FROM queued.heartbeats WHERE beaten_at < :before
