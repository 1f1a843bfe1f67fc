-- What the scheduler knows of each schedule: the last dates it has made runs for (`made`, JSON),
-- and when to look at it again (`due`; NULL: when it changes).

CREATE TABLE schedule_horizon (
    schedule_id TEXT NOT NULL PRIMARY KEY REFERENCES deployment_schedule (id) ON DELETE CASCADE,
    deployment_id TEXT NOT NULL,
    made TEXT NOT NULL DEFAULT '[]',
    due TEXT DEFAULT '0001-01-01T00:00:00.000000Z'
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_horizon_by_due ON schedule_horizon (due, schedule_id) WHERE due IS NOT NULL;
CREATE INDEX schedule_horizon_by_deployment ON schedule_horizon (deployment_id);

INSERT INTO schedule_horizon (schedule_id, deployment_id)
    SELECT id, deployment_id FROM deployment_schedule;

-- A change is due at once. The store itself sees to it, so that no writer can forget it and no
-- crash lose it; it concerns all schedules of the deployment, because it has deleted the runs of
-- all of them.
CREATE TRIGGER schedule_horizon_begin AFTER INSERT ON deployment_schedule BEGIN
    INSERT INTO schedule_horizon (schedule_id, deployment_id) VALUES (NEW.id, NEW.deployment_id);
END;
CREATE TRIGGER schedule_horizon_schedule AFTER UPDATE ON deployment_schedule BEGIN
    UPDATE schedule_horizon SET made = '[]', due = '0001-01-01T00:00:00.000000Z'
        WHERE deployment_id = NEW.deployment_id;
END;
CREATE TRIGGER schedule_horizon_sibling AFTER DELETE ON deployment_schedule BEGIN
    UPDATE schedule_horizon SET made = '[]', due = '0001-01-01T00:00:00.000000Z'
        WHERE deployment_id = OLD.deployment_id;
END;
CREATE TRIGGER schedule_horizon_deployment AFTER UPDATE OF updated ON deployment BEGIN
    UPDATE schedule_horizon SET made = '[]', due = '0001-01-01T00:00:00.000000Z'
        WHERE deployment_id = NEW.id;
END;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('schedule_horizon', 'schedule_horizon', '10000 1'),
    ('schedule_horizon', 'schedule_horizon_by_due', '10000 2 1'),
    ('schedule_horizon', 'schedule_horizon_by_deployment', '10000 2');
ANALYZE sqlite_schema;
