-- Which side tables know the job (bits, see domain/ties.py), so that a job without any pays nothing for them.
ALTER TABLE queued.ready ADD COLUMN ties smallint NOT NULL DEFAULT 0;
ALTER TABLE queued.scheduled ADD COLUMN ties smallint NOT NULL DEFAULT 0;
ALTER TABLE queued.claimed ADD COLUMN ties smallint NOT NULL DEFAULT 0;
ALTER TABLE queued.failed ADD COLUMN ties smallint NOT NULL DEFAULT 0;

-- One row a key. Rows of slots and blocked are touched only by who holds the lock on the row of their key; several keys
-- are locked in their order.
CREATE TABLE queued.limits (
  key       text PRIMARY KEY,
  capacity  integer NOT NULL
) WITH (fillfactor = 50);

-- Who holds a slot: a job that is ready or claimed.
CREATE TABLE queued.slots (
  key     text NOT NULL,
  job_id  bigint NOT NULL,
  PRIMARY KEY (key, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The limits of a job, from its enqueue to its end.
CREATE TABLE queued.job_limits (
  job_id       bigint NOT NULL,
  key          text NOT NULL,
  capacity     integer NOT NULL,
  duration     double precision,
  on_conflict  text NOT NULL CHECK (on_conflict IN ('block', 'discard')),
  PRIMARY KEY (job_id, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- A state of its own beside ready: a job that waits for a slot of `key`, one of its keys that has none free.
CREATE TABLE queued.blocked (
  job_id      bigint PRIMARY KEY,
  key         text NOT NULL,
  queue       text NOT NULL,
  priority    integer NOT NULL,
  attempt     integer NOT NULL,
  ties        smallint NOT NULL,
  blocked_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX blocked_line ON queued.blocked (key, priority, job_id);

-- Keys of unique jobs that are taken: by whom, and until when if that does not depend on the job.
CREATE TABLE queued.unique_keys (
  key         text PRIMARY KEY,
  job_id      bigint NOT NULL,
  expires_at  timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX unique_keys_expiry ON queued.unique_keys (expires_at) WHERE expires_at IS NOT NULL;

-- The key of a job that holds it until its start or its end; kept until it ends.
CREATE TABLE queued.job_uniques (
  job_id  bigint PRIMARY KEY,
  key     text NOT NULL,
  until   text NOT NULL CHECK (until IN ('start', 'finish'))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Until when a job must have started; kept until it starts.
CREATE TABLE queued.expiries (
  job_id      bigint PRIMARY KEY,
  expires_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX expiries_at ON queued.expiries (expires_at);

-- The latest turns of each key of rate limits, as a JSON list of seconds since 1970, and when the last of them no longer counts.
CREATE TABLE queued.rates (
  key      text PRIMARY KEY,
  turns    text NOT NULL DEFAULT '[]',
  idle_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The rate limit of a job, and whether it waits for its turn or has to ask for one.
CREATE TABLE queued.job_rates (
  job_id    bigint PRIMARY KEY,
  key       text NOT NULL,
  starts    integer NOT NULL,
  period    double precision NOT NULL,
  has_turn  boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
