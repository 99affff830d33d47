-- Runs that the application has a say in, and programs that need none.
-- reserved_by: the scheduler that has asked the application about a run, without a transaction, and until when nobody else does.
-- held: why a run that is due cannot be started yet; null where none is held back.
ALTER TABLE queued_recurring_tasks ADD COLUMN reserved_by TEXT;
ALTER TABLE queued_recurring_tasks ADD COLUMN reserved_until INTEGER;
ALTER TABLE queued_recurring_tasks ADD COLUMN held TEXT;

-- Programs (bit 128 of ties) are all that a worker without an application looks for, whatever else waits in the lane.
CREATE INDEX queued_ready_programs ON queued_ready (queue, priority, seq) WHERE (ties & 128) <> 0;
