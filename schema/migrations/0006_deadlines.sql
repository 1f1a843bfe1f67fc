-- Where the deadlines of runs are found: each loop that keeps one reads the head of one index.

CREATE INDEX flow_run_by_lateness ON flow_run (next_scheduled_start_time)
    WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled';
CREATE INDEX flow_run_by_pending ON flow_run (state_timestamp) WHERE state_type = 'PENDING';
CREATE INDEX flow_run_by_cancelling ON flow_run (state_timestamp) WHERE state_type = 'CANCELLING';

-- Paused runs and when their pause expires; NULL: never. Kept by the store itself, so that no
-- writer of states can forget it: the moment is inside the state, out of reach of an index of runs.
CREATE TABLE flow_run_pause (
    flow_run_id TEXT NOT NULL PRIMARY KEY REFERENCES flow_run (id) ON DELETE CASCADE,
    expires TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_run_pause_by_expiry ON flow_run_pause (expires) WHERE expires IS NOT NULL;

INSERT INTO flow_run_pause
    SELECT fr.id, json_extract(s.state_details, '$.pause_timeout')
    FROM flow_run fr JOIN flow_run_state s ON s.id = fr.state_id WHERE fr.state_type = 'PAUSED';

CREATE TRIGGER flow_run_pause_begin AFTER INSERT ON flow_run_state WHEN NEW.type = 'PAUSED' BEGIN
    INSERT OR REPLACE INTO flow_run_pause
        VALUES (NEW.flow_run_id, json_extract(NEW.state_details, '$.pause_timeout'));
END;
CREATE TRIGGER flow_run_pause_end AFTER UPDATE OF state_type ON flow_run
WHEN OLD.state_type = 'PAUSED' AND NEW.state_type IS NOT 'PAUSED' BEGIN
    DELETE FROM flow_run_pause WHERE flow_run_id = NEW.id;
END;

-- Cancelled runs whose task runs and subflows are still to be looked after, and when next. Ten
-- seconds for what their processes have yet to report: truer than what is decided for them.
CREATE TABLE flow_run_cleanup (
    flow_run_id TEXT NOT NULL PRIMARY KEY REFERENCES flow_run (id) ON DELETE CASCADE,
    due TEXT NOT NULL,
    passes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_run_cleanup_by_due ON flow_run_cleanup (due);

INSERT INTO flow_run_cleanup
    SELECT id, end_time, 0 FROM flow_run WHERE state_type = 'CANCELLED'
        AND end_time > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-1 day');

CREATE TRIGGER flow_run_cleanup_begin AFTER UPDATE OF state_type ON flow_run
WHEN NEW.state_type = 'CANCELLED' AND OLD.state_type IS NOT 'CANCELLED' BEGIN
    INSERT OR REPLACE INTO flow_run_cleanup
        VALUES (NEW.id, strftime('%Y-%m-%dT%H:%M:%f000Z', NEW.state_timestamp, '+10 seconds'), 0);
END;
CREATE TRIGGER flow_run_cleanup_end AFTER UPDATE OF state_type ON flow_run
WHEN OLD.state_type = 'CANCELLED' AND NEW.state_type IS NOT 'CANCELLED' BEGIN
    DELETE FROM flow_run_cleanup WHERE flow_run_id = NEW.id;
END;

-- A subflow whose place in its parent is deleted goes on as a run of its own.
UPDATE flow_run SET parent_task_run_id = NULL WHERE parent_task_run_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM task_run tr WHERE tr.id = parent_task_run_id);
CREATE TRIGGER task_run_leaves_subflow AFTER DELETE ON task_run BEGIN
    UPDATE flow_run SET parent_task_run_id = NULL WHERE parent_task_run_id = OLD.id;
END;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('flow_run', 'flow_run_by_lateness', '100000 2'),
    ('flow_run', 'flow_run_by_pending', '10000 2'),
    ('flow_run', 'flow_run_by_cancelling', '10000 2');
ANALYZE sqlite_schema;
