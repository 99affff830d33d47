-- name: enqueued
-- The last number given to a job.
SELECT pg_sequence_last_value(pg_get_serial_sequence('queued.jobs', 'id')::regclass) AS number;

-- name: sizes
-- Bytes of each table with its indexes, and its dead rows as the statistics have them.
SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS bytes, pg_stat_get_dead_tuples(c.oid) AS dead
FROM pg_class AS c
WHERE c.relname = ANY (:tables::text[])
  AND c.relnamespace = (SELECT j.relnamespace FROM pg_class AS j WHERE j.oid = 'queued.jobs'::regclass);
