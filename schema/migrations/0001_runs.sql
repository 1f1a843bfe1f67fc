-- Flows, flow runs, task runs and their states.
-- Ids and moments are text (docs/decisions/storage-format.md); `seq` is the order of insertion.

CREATE TABLE flow (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    tags TEXT NOT NULL,
    labels TEXT NOT NULL
) STRICT;

CREATE TABLE flow_tag (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE flow_run (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL,
    flow_id TEXT NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
    deployment_id TEXT,
    deployment_version TEXT,
    work_queue_id TEXT,
    work_queue_name TEXT,
    flow_version TEXT,
    parameters TEXT NOT NULL,
    idempotency_key TEXT,
    context TEXT NOT NULL,
    empirical_policy TEXT NOT NULL,
    tags TEXT NOT NULL,
    labels TEXT NOT NULL,
    parent_task_run_id TEXT,
    state_id TEXT,
    state_type TEXT,
    state_name TEXT,
    state_timestamp TEXT,
    run_count INTEGER NOT NULL DEFAULT 0,
    expected_start_time TEXT,
    next_scheduled_start_time TEXT,
    start_time TEXT,
    end_time TEXT,
    total_run_time REAL NOT NULL DEFAULT 0,
    auto_scheduled INTEGER NOT NULL DEFAULT 0,
    infrastructure_document_id TEXT,
    infrastructure_pid TEXT,
    job_variables TEXT NOT NULL DEFAULT '{}',
    created_by TEXT
) STRICT;

CREATE UNIQUE INDEX flow_run_by_idempotency_key ON flow_run (flow_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE flow_run_tag (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE flow_run_state (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    flow_run_id TEXT NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    message TEXT,
    state_details TEXT NOT NULL,
    result_artifact_id TEXT
) STRICT;

CREATE UNIQUE INDEX flow_run_state_by_run ON flow_run_state (flow_run_id, timestamp);

CREATE TABLE task_run (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL,
    flow_run_id TEXT REFERENCES flow_run (id) ON DELETE CASCADE,
    task_key TEXT NOT NULL,
    dynamic_key TEXT NOT NULL,
    cache_key TEXT,
    cache_expiration TEXT,
    task_version TEXT,
    empirical_policy TEXT NOT NULL,
    tags TEXT NOT NULL,
    labels TEXT NOT NULL,
    task_inputs TEXT NOT NULL,
    state_id TEXT,
    state_type TEXT,
    state_name TEXT,
    state_timestamp TEXT,
    run_count INTEGER NOT NULL DEFAULT 0,
    flow_run_run_count INTEGER NOT NULL DEFAULT 0,
    expected_start_time TEXT,
    next_scheduled_start_time TEXT,
    start_time TEXT,
    end_time TEXT,
    total_run_time REAL NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX task_run_by_natural_key ON task_run (flow_run_id, task_key, dynamic_key)
    WHERE flow_run_id IS NOT NULL;
CREATE INDEX task_run_by_key_outside_flows ON task_run (task_key, dynamic_key)
    WHERE flow_run_id IS NULL;

CREATE TABLE task_run_tag (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_run_state (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    task_run_id TEXT NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    message TEXT,
    state_details TEXT NOT NULL,
    result_artifact_id TEXT
) STRICT;

CREATE INDEX task_run_state_by_run ON task_run_state (task_run_id, timestamp);

CREATE TABLE task_run_state_cache (
    seq INTEGER PRIMARY KEY,
    cache_key TEXT NOT NULL,
    cache_expiration TEXT,
    task_run_state_id TEXT NOT NULL
) STRICT;

CREATE INDEX task_run_state_cache_by_key ON task_run_state_cache (cache_key);

CREATE TABLE flow_run_input (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    flow_run_id TEXT NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    sender TEXT
) STRICT;

CREATE UNIQUE INDEX flow_run_input_by_key ON flow_run_input (flow_run_id, key);

CREATE TABLE artifact (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    key TEXT,
    type TEXT,
    description TEXT,
    data TEXT,
    metadata_ TEXT,
    flow_run_id TEXT,
    task_run_id TEXT
) STRICT;

CREATE INDEX artifact_by_flow_run ON artifact (flow_run_id) WHERE flow_run_id IS NOT NULL;
CREATE INDEX artifact_by_task_run ON artifact (task_run_id) WHERE task_run_id IS NOT NULL;
