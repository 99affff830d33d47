-- name: counted
-- How often a policy was spent since the job's last new start.
SELECT count(*) AS spent FROM queued.attempts WHERE job_id = :job_id AND policy = :policy AND counted
