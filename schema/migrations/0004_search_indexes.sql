-- What searches, counts and histories stand on. The reasons: docs/decisions/search-indexes.md

-- Flow runs. The two that begin with the state move with every transition, `flow_run_by_start`
-- when a run starts; the others are written when a run is made.
CREATE INDEX flow_run_by_state_and_start ON flow_run
    (state_type, coalesce(start_time, expected_start_time), flow_id);
CREATE INDEX flow_run_by_state_and_expected_start ON flow_run (state_type, expected_start_time);
CREATE INDEX flow_run_by_start ON flow_run (coalesce(start_time, expected_start_time));
CREATE INDEX flow_run_by_expected_start ON flow_run (expected_start_time);
CREATE INDEX flow_run_by_flow ON flow_run (flow_id, expected_start_time);
CREATE INDEX flow_run_by_name ON flow_run (name);
CREATE INDEX flow_run_by_deployment ON flow_run (deployment_id, expected_start_time)
    WHERE deployment_id IS NOT NULL;
CREATE INDEX flow_run_by_parent ON flow_run (parent_task_run_id)
    WHERE parent_task_run_id IS NOT NULL;
CREATE INDEX flow_run_by_next_start ON flow_run (flow_id, next_scheduled_start_time)
    WHERE state_type = 'SCHEDULED';

CREATE INDEX task_run_by_state_and_start ON task_run (state_type, start_time);
CREATE INDEX task_run_by_expected_start ON task_run (expected_start_time);

CREATE INDEX artifact_by_key ON artifact (key) WHERE key IS NOT NULL;

-- How many runs there are, kept by triggers: counting millions of index entries for each poll of a
-- dashboard would grow with the database. A run without a state counts under ''.
CREATE TABLE flow_run_tally (
    flow_id TEXT NOT NULL,
    state_type TEXT NOT NULL,
    state_name TEXT NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (flow_id, state_type, state_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_run_tally (
    state_type TEXT NOT NULL PRIMARY KEY,
    runs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO flow_run_tally
    SELECT flow_id, coalesce(state_type, ''), coalesce(state_name, ''), count(*)
    FROM flow_run GROUP BY 1, 2, 3;
INSERT INTO task_run_tally SELECT coalesce(state_type, ''), count(*) FROM task_run GROUP BY 1;

CREATE TRIGGER flow_run_tally_insert AFTER INSERT ON flow_run BEGIN
    INSERT INTO flow_run_tally
        VALUES (NEW.flow_id, coalesce(NEW.state_type, ''), coalesce(NEW.state_name, ''), 1)
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER flow_run_tally_update AFTER UPDATE OF state_type, state_name ON flow_run
WHEN OLD.state_type IS NOT NEW.state_type OR OLD.state_name IS NOT NEW.state_name BEGIN
    UPDATE flow_run_tally SET runs = runs - 1 WHERE flow_id = OLD.flow_id
        AND state_type = coalesce(OLD.state_type, '') AND state_name = coalesce(OLD.state_name, '');
    INSERT INTO flow_run_tally
        VALUES (NEW.flow_id, coalesce(NEW.state_type, ''), coalesce(NEW.state_name, ''), 1)
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER flow_run_tally_delete AFTER DELETE ON flow_run BEGIN
    UPDATE flow_run_tally SET runs = runs - 1 WHERE flow_id = OLD.flow_id
        AND state_type = coalesce(OLD.state_type, '') AND state_name = coalesce(OLD.state_name, '');
END;
CREATE TRIGGER flow_run_tally_forget AFTER UPDATE OF runs ON flow_run_tally WHEN NEW.runs = 0 BEGIN
    DELETE FROM flow_run_tally WHERE flow_id = NEW.flow_id
        AND state_type = NEW.state_type AND state_name = NEW.state_name;
END;

CREATE TRIGGER task_run_tally_insert AFTER INSERT ON task_run BEGIN
    INSERT INTO task_run_tally VALUES (coalesce(NEW.state_type, ''), 1)
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER task_run_tally_update AFTER UPDATE OF state_type ON task_run
WHEN OLD.state_type IS NOT NEW.state_type BEGIN
    UPDATE task_run_tally SET runs = runs - 1 WHERE state_type = coalesce(OLD.state_type, '');
    INSERT INTO task_run_tally VALUES (coalesce(NEW.state_type, ''), 1)
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER task_run_tally_delete AFTER DELETE ON task_run BEGIN
    UPDATE task_run_tally SET runs = runs - 1 WHERE state_type = coalesce(OLD.state_type, '');
END;

-- What the planner is to believe, written down once instead of measured: that a flow, a state or a
-- tag selects too many rows to sort. Never run ANALYZE or PRAGMA optimize on this database.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('flow', 'sqlite_autoindex_flow_1', '1000 1'),
    ('flow', 'sqlite_autoindex_flow_2', '1000 1'),
    ('flow_run', 'sqlite_autoindex_flow_run_1', '1000000 1'),
    ('flow_run', 'flow_run_by_state_and_start', '1000000 300000 2 2'),
    ('flow_run', 'flow_run_by_state_and_expected_start', '1000000 300000 2'),
    ('flow_run', 'flow_run_by_start', '1000000 2'),
    ('flow_run', 'flow_run_by_expected_start', '1000000 2'),
    ('flow_run', 'flow_run_by_flow', '1000000 500000 2'),
    ('flow_run', 'flow_run_by_name', '1000000 2'),
    ('flow_run', 'flow_run_by_deployment', '1000000 200000 2'),
    ('flow_run', 'flow_run_by_parent', '100000 1'),
    ('flow_run', 'flow_run_by_next_start', '1000000 500000 2'),
    ('flow_run_tag', 'flow_run_tag', '2000000 500000 1'),
    ('task_run', 'sqlite_autoindex_task_run_1', '10000000 1'),
    ('task_run', 'task_run_by_natural_key', '10000000 50 2 1'),
    ('task_run', 'task_run_by_state_and_start', '10000000 3000000 2'),
    ('task_run', 'task_run_by_expected_start', '10000000 2'),
    ('task_run_tag', 'task_run_tag', '2000000 500000 1');

-- Once more, so that this connection reads what was written.
ANALYZE sqlite_schema;
