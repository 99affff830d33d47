-- name: lanes
-- The oldest ready job of each lane (queue and priority), hopping from lane to lane in the index. Differs from SQLite by
-- necessity: there is no LATERAL there, and seq alone has no index here.
WITH RECURSIVE lanes AS (
  (SELECT queue, priority, ready_at FROM queued.ready ORDER BY queue, priority, seq LIMIT 1)
  UNION ALL
  SELECT following.queue, following.priority, following.ready_at
  FROM lanes, LATERAL (
    SELECT r.queue, r.priority, r.ready_at FROM queued.ready AS r
    WHERE (r.queue, r.priority) > (lanes.queue, lanes.priority)
    ORDER BY r.queue, r.priority, r.seq LIMIT 1
  ) AS following
)
SELECT queue, priority, ready_at FROM lanes LIMIT :lanes;
