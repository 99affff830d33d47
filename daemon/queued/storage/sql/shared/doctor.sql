-- name: orphans
-- Running jobs whose process is not registered, and how many such processes there are.
SELECT count(*) AS n, count(DISTINCT process_id) AS processes
FROM (SELECT c.process_id FROM queued.claimed AS c LEFT JOIN queued.processes AS p ON p.id = c.process_id
      WHERE p.id IS NULL LIMIT :cap) AS lost;
