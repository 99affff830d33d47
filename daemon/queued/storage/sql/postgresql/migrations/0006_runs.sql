-- Runs that the application has a say in, and programs that need none.
-- reserved_by: the scheduler that has asked the application about a run, without a transaction, and until when nobody else does.
-- held: why a run that is due cannot be started yet; null where none is held back.
ALTER TABLE queued.recurring_tasks ADD COLUMN reserved_by text, ADD COLUMN reserved_until timestamptz, ADD COLUMN held text;

-- Programs (bit 128 of ties) are all that a worker without an application looks for, whatever else waits in the lane.
CREATE INDEX ready_programs ON queued.ready (queue, priority, seq) WHERE (ties & 128) <> 0;
