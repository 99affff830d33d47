-- name: counted
-- How often a policy was spent since the job's last new start.
SELECT count(*) AS spent FROM queued.attempts WHERE job_id = :job_id AND policy = :policy AND counted

-- name: restart
-- An operator gave the job a new start: what came before no longer counts.
UPDATE queued.attempts SET counted = false WHERE job_id = :job_id AND counted
