-- Differs from SQLite by necessity: LIKE tells upper from lower case here, and ILIKE does not.

-- name: class_like
job.class_name LIKE :value ESCAPE '\'

-- name: queue_like
job.queue LIKE :value ESCAPE '\'

-- name: error_has
COALESCE(job.error_class || ': ' || job.message, '') ILIKE :value ESCAPE '\'

-- name: args_has
job.stored ILIKE :value ESCAPE '\'

-- name: text_has
job.class_name ILIKE :value ESCAPE '\' OR job.stored ILIKE :value ESCAPE '\'
OR COALESCE(job.error_class || ': ' || job.message, '') ILIKE :value ESCAPE '\'
