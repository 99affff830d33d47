-- name: put
-- Make one job ready, to the right of all others.
INSERT INTO queued.ready (job_id, queue, priority, attempt, ties)
VALUES (:job_id, :queue, :priority, :attempt, :ties) RETURNING seq

-- name: cut
-- The job in this place was cut short for the sake of another; counted up to three times in two bits of its ties.
UPDATE queued.ready SET ties = ties + :cut WHERE seq = :seq AND (ties & :cuts) <> :cuts
