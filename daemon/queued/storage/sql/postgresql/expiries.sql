-- name: note
-- Say until when new jobs must have started, counted from when they are due.
INSERT INTO queued.expiries (job_id, expires_at)
SELECT n.job_id, GREATEST(COALESCE(j.run_at, j.enqueued_at), j.enqueued_at) + n.seconds * interval '1 second'
FROM unnest(:ids::bigint[], :seconds::float8[]) AS n(job_id, seconds)
CROSS JOIN LATERAL (SELECT run_at, enqueued_at FROM queued.jobs WHERE id = n.job_id OFFSET 0) AS j
RETURNING job_id

-- name: start
-- Jobs are about to start; those that are too late are returned with how late, in seconds.
DELETE FROM queued.expiries WHERE job_id = ANY(:ids)
RETURNING job_id, extract(epoch FROM {now} - expires_at)::float8 AS late

-- name: forget
-- Jobs that are over cannot expire.
DELETE FROM queued.expiries WHERE job_id = ANY(:ids) RETURNING job_id
