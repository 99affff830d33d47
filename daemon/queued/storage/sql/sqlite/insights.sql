-- name: lanes
-- The oldest ready job of each lane (queue and priority), hopping from lane to lane in the index. Differs from PostgreSQL by
-- necessity: there is no LATERAL here, and seq is the row id.
WITH RECURSIVE lanes (queue, priority, seq) AS (
  SELECT * FROM (SELECT queue, priority, seq FROM queued.ready ORDER BY queue, priority, seq LIMIT 1)
  UNION ALL
  SELECT r.queue, r.priority, r.seq
  FROM lanes JOIN queued.ready AS r ON r.seq = (
    SELECT n.seq FROM queued.ready AS n
    WHERE (n.queue, n.priority) > (lanes.queue, lanes.priority)
    ORDER BY n.queue, n.priority, n.seq LIMIT 1
  )
)
SELECT lanes.queue, lanes.priority, r.ready_at
FROM lanes JOIN queued.ready AS r ON r.seq = lanes.seq
LIMIT :lanes;
