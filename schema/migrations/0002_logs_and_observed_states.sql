-- Log lines. Moments are microseconds since 1970, and what lines of one run repeat is stored
-- once: a line costs 121 bytes instead of 449 and a quarter of the time (docs/decisions/storage-
-- format.md).

CREATE TABLE log_name (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- Flow runs and task runs that have lines. They need not exist otherwise.
CREATE TABLE log_run (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) STRICT;

-- One row, made with the first line: the next `log.seq`, and what all ids of lines begin with.
CREATE TABLE log_sequence (
    next INTEGER NOT NULL,
    salt TEXT NOT NULL
) STRICT;

-- `seq` is the order of commits and is never given twice: the cursor of live tails, and with the
-- salt the id of the line.
CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    created INTEGER NOT NULL,
    flow_run INTEGER,
    task_run INTEGER,
    name INTEGER NOT NULL,
    level INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;

-- Both end with `seq`, as every index of SQLite does.
CREATE INDEX log_by_flow_run ON log (flow_run, timestamp) WHERE flow_run IS NOT NULL;
CREATE INDEX log_by_task_run ON log (task_run, timestamp) WHERE task_run IS NOT NULL;

-- Types and names of states that runs have been in, kept by the store itself, so that no writer of
-- states can forget it. A search of the histories would read all of them.
CREATE TABLE observed_state (
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (type, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER flow_run_state_observed AFTER INSERT ON flow_run_state BEGIN
    INSERT INTO observed_state (type, name, first_seen, last_seen)
    VALUES (new.type, new.name, new.timestamp, new.timestamp)
    ON CONFLICT (type, name) DO UPDATE SET last_seen = excluded.last_seen
    WHERE excluded.last_seen > last_seen;
END;

CREATE TRIGGER task_run_state_observed AFTER INSERT ON task_run_state BEGIN
    INSERT INTO observed_state (type, name, first_seen, last_seen)
    VALUES (new.type, new.name, new.timestamp, new.timestamp)
    ON CONFLICT (type, name) DO UPDATE SET last_seen = excluded.last_seen
    WHERE excluded.last_seen > last_seen;
END;
