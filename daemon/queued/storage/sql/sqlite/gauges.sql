-- name: enqueued
-- The last number given to a job.
SELECT max(seq) AS number FROM sqlite_sequence WHERE name = 'queued_jobs';

-- name: sizes
-- Bytes of the file. Differs by necessity: what a table takes is known only by reading all of its pages.
SELECT c.page_count * s.page_size AS bytes FROM pragma_page_count AS c, pragma_page_size AS s;
