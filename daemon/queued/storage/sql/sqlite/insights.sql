-- name: lanes
-- The oldest ready job of each lane (queue and priority), hopping from lane to lane in the index. Differs from PostgreSQL by
-- necessity: there is no LATERAL here, and seq is the row id. A comparison of pairs would walk the whole lane that it leaves (148
-- ms against 1 for 60 lanes of 10 000), so the next lane is looked for in the same queue first, and then in the next one.
WITH RECURSIVE lanes (queue, priority) AS (
  SELECT * FROM (SELECT queue, priority FROM queued.ready ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT r.queue, r.priority
  FROM lanes JOIN queued.ready AS r ON r.seq = COALESCE(
    (SELECT n.seq FROM queued.ready AS n WHERE n.queue = lanes.queue AND n.priority > lanes.priority
     ORDER BY n.priority LIMIT 1),
    (SELECT n.seq FROM queued.ready AS n WHERE n.queue > lanes.queue ORDER BY n.queue, n.priority LIMIT 1)
  )
)
SELECT lanes.queue, lanes.priority, r.ready_at
FROM lanes JOIN queued.ready AS r ON r.seq = (
  SELECT min(h.seq) FROM queued.ready AS h WHERE h.queue = lanes.queue AND h.priority = lanes.priority
)
LIMIT :lanes;
