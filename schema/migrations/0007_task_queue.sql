-- Background task runs that wait for a task worker: one row for each whose current state is
-- SCHEDULED and deferred. docs/decisions/background-tasks.md has the reasons.

-- `lane` 0 came back, 1 is a retry, 2 is anything else: lower ones first, then by `seq`.
-- `holder` is the number of the subscription that acknowledged the run; NULL while the run waits.
CREATE TABLE task_queue (
    seq INTEGER PRIMARY KEY,
    task_run_id TEXT NOT NULL UNIQUE REFERENCES task_run (id) ON DELETE CASCADE,
    state_id TEXT NOT NULL,
    task_key TEXT NOT NULL,
    lane INTEGER NOT NULL,
    holder INTEGER
) STRICT;

CREATE INDEX task_queue_by_key ON task_queue (task_key, holder, lane);
CREATE INDEX task_queue_by_holder ON task_queue (holder) WHERE holder IS NOT NULL;

INSERT INTO task_queue (task_run_id, state_id, task_key, lane)
    SELECT tr.id, tr.state_id, tr.task_key,
        CASE tr.state_name WHEN 'AwaitingRetry' THEN 1 ELSE 2 END
    FROM task_run tr JOIN task_run_state s ON s.id = tr.state_id
    WHERE tr.state_type = 'SCHEDULED' AND json_extract(s.state_details, '$.deferred')
    ORDER BY tr.seq;

-- Kept by the store itself, so that no writer of states can forget it. (A run that is scheduled
-- anew has its new row before its new state.)
CREATE TRIGGER task_queue_leave AFTER UPDATE OF state_id ON task_run
WHEN OLD.state_type = 'SCHEDULED' BEGIN
    DELETE FROM task_queue WHERE task_run_id = NEW.id AND state_id IS NOT NEW.state_id;
END;
