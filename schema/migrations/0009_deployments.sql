-- Deployments and their schedules.

CREATE TABLE deployment (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL,
    flow_id TEXT NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
    version TEXT,
    description TEXT,
    paused INTEGER NOT NULL DEFAULT 0,
    tags TEXT NOT NULL DEFAULT '[]',
    labels TEXT NOT NULL DEFAULT '{}',
    parameters TEXT NOT NULL DEFAULT '{}',
    parameter_openapi_schema TEXT NOT NULL DEFAULT '{}',
    enforce_parameter_schema INTEGER NOT NULL DEFAULT 1,
    job_variables TEXT NOT NULL DEFAULT '{}',
    pull_steps TEXT NOT NULL DEFAULT '[]',
    path TEXT,
    entrypoint TEXT,
    work_queue_id TEXT,
    work_queue_name TEXT,
    storage_document_id TEXT,
    infrastructure_document_id TEXT,
    concurrency_limit_id TEXT REFERENCES concurrency_limit (id) ON DELETE SET NULL,
    concurrency_options TEXT,
    status TEXT NOT NULL DEFAULT 'NOT_READY',
    last_polled TEXT,
    created_by TEXT,
    updated_by TEXT
) STRICT;

CREATE UNIQUE INDEX deployment_by_flow ON deployment (flow_id, name);
CREATE INDEX deployment_by_name ON deployment (name);
CREATE INDEX deployment_by_work_queue ON deployment (work_queue_id)
    WHERE work_queue_id IS NOT NULL;
CREATE INDEX deployment_by_limit ON deployment (concurrency_limit_id)
    WHERE concurrency_limit_id IS NOT NULL;
-- Those that may stop being ready, the one that was polled the longest ago first.
CREATE INDEX deployment_by_poll ON deployment (last_polled) WHERE status = 'READY';

CREATE TABLE deployment_tag (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

-- `schedule` is the JSON object of the API: an interval, a cron expression or a recurrence rule.
CREATE TABLE deployment_schedule (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    deployment_id TEXT NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    schedule TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 1,
    max_scheduled_runs INTEGER,
    parameters TEXT NOT NULL DEFAULT '{}',
    slug TEXT
) STRICT;

CREATE INDEX deployment_schedule_by_deployment ON deployment_schedule (deployment_id, updated);
CREATE UNIQUE INDEX deployment_schedule_by_slug ON deployment_schedule (deployment_id, slug)
    WHERE slug IS NOT NULL;

-- The runs that schedules have made and that have not started: what changes of a deployment delete.
CREATE INDEX flow_run_by_deployment_scheduled
    ON flow_run (deployment_id, next_scheduled_start_time)
    WHERE state_type = 'SCHEDULED' AND deployment_id IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('deployment', 'sqlite_autoindex_deployment_1', '1000 1'),
    ('deployment', 'deployment_by_flow', '1000 5 1'),
    ('deployment', 'deployment_by_name', '1000 2'),
    ('deployment', 'deployment_by_work_queue', '1000 100'),
    ('deployment_tag', 'deployment_tag', '2000 500 1'),
    ('deployment_schedule', 'sqlite_autoindex_deployment_schedule_1', '1000 1'),
    ('deployment_schedule', 'deployment_schedule_by_deployment', '1000 2 1'),
    ('deployment_schedule', 'deployment_schedule_by_slug', '1000 2 1'),
    ('flow_run', 'flow_run_by_deployment_scheduled', '100000 100 2');

-- So that this connection reads what was written.
ANALYZE sqlite_schema;
