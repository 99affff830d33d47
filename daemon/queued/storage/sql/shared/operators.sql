-- What an operator does to jobs. Where a worker may take the same job at the same moment, the row that the statement returns
-- decides who was first.

-- name: interrupt
-- Ask for the end of a running job; the first time it was asked stands.
UPDATE queued.claimed SET cancel_at = COALESCE(cancel_at, {now}) WHERE job_id = :id RETURNING job_id, process_id;
