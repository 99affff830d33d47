-- Differs from PostgreSQL by necessity: GLOB tells upper from lower case here, and LIKE does not.

-- name: class_like
job.class_name GLOB :value

-- name: queue_like
job.queue GLOB :value

-- name: error_has
COALESCE(job.error_class || ': ' || job.message, '') LIKE :value ESCAPE '\'

-- name: args_has
job.stored LIKE :value ESCAPE '\'

-- name: text_has
job.class_name LIKE :value ESCAPE '\' OR job.stored LIKE :value ESCAPE '\'
OR COALESCE(job.error_class || ': ' || job.message, '') LIKE :value ESCAPE '\'
