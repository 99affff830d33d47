-- The eighth: number 8 was never used, and numbers say the order alone.
-- What operators did: one row an action, written in the transaction of the action itself. `target` is a query, or names and ids;
-- `count` how many it has touched so far, for a long action is many transactions.
CREATE TABLE queued_audit (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  actor     TEXT NOT NULL,
  uid       INTEGER,
  hostname  TEXT NOT NULL,
  origin    TEXT,
  action    TEXT NOT NULL,
  target    TEXT NOT NULL,
  count     INTEGER NOT NULL,
  acted_at  INTEGER NOT NULL DEFAULT {now}
);
CREATE INDEX queued_audit_acted ON queued_audit (acted_at);
