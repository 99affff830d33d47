-- name: note
-- Say until when new jobs must have started, counted from when they are due.
INSERT INTO queued.expiries (job_id, expires_at)
SELECT j.id, max(COALESCE(j.run_at, j.enqueued_at), j.enqueued_at) + CAST(json_extract(n.value, '$[1]') * 1000000 AS INTEGER)
FROM json_each(:rows) AS n CROSS JOIN queued.jobs AS j ON j.id = json_extract(n.value, '$[0]')
RETURNING job_id

-- name: start
-- Jobs are about to start; those that are too late are returned with how late, in seconds.
DELETE FROM queued.expiries WHERE job_id IN (SELECT value FROM json_each(:ids))
RETURNING job_id, ({now} - expires_at) / 1000000.0 AS late

-- name: forget
-- Jobs that are over cannot expire.
DELETE FROM queued.expiries WHERE job_id IN (SELECT value FROM json_each(:ids)) RETURNING job_id
