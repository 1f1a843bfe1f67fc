-- Indexes of searches, counts and histories.

CREATE INDEX flow_run_by_start ON flow_run (coalesce(start_time, expected_start_time));
CREATE INDEX flow_run_by_expected_start ON flow_run (expected_start_time);
CREATE INDEX flow_run_by_name ON flow_run (name);
CREATE INDEX flow_run_by_state ON flow_run
    (state_type, coalesce(start_time, expected_start_time), flow_id);
CREATE INDEX flow_run_by_flow ON flow_run
    (flow_id, state_type, coalesce(start_time, expected_start_time));

CREATE INDEX flow_run_by_parent ON flow_run (parent_task_run_id)
    WHERE parent_task_run_id IS NOT NULL;
CREATE INDEX flow_run_by_deployment ON flow_run
    (deployment_id, coalesce(start_time, expected_start_time)) WHERE deployment_id IS NOT NULL;
CREATE INDEX flow_run_by_next_start ON flow_run (flow_id, next_scheduled_start_time)
    WHERE state_type = 'SCHEDULED';

CREATE INDEX task_run_by_expected_start ON task_run (expected_start_time);
CREATE INDEX task_run_by_state ON task_run (state_type, start_time);

CREATE INDEX artifact_by_key ON artifact (key) WHERE key IS NOT NULL;
