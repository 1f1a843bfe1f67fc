-- Runs that know their work queue by its name alone: what an agent asks for, and what takes slots.
CREATE INDEX flow_run_by_queue_name
    ON flow_run (work_queue_name, state_type, next_scheduled_start_time)
    WHERE work_queue_id IS NULL AND work_queue_name IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('flow_run', 'flow_run_by_queue_name', '1000 100 20 1');
ANALYZE sqlite_schema;
