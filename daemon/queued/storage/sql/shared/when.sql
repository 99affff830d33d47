-- What a query may ask of a job. Each section stands in the place of {conditions} of a list in `search.sql`.

-- name: class_is
job.class_name = :value

-- name: queue_is
job.queue = :value

-- name: state_is
job.state = :value

-- name: id_within
job.id BETWEEN :value AND :until

-- name: priority_within
job.priority BETWEEN :value AND :until

-- name: attempt_within
job.attempt BETWEEN :value AND :until

-- name: since
job.state_at >= :value

-- name: until
job.state_at < :value
