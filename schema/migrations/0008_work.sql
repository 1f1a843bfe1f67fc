-- Work pools, their queues, and the workers that serve them.
-- A run keeps the id of its queue when that is deleted, and answers say what `work_queue` knows of
-- it: so deleting a queue costs the same however many runs it has had.

CREATE TABLE work_pool (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    type TEXT NOT NULL,
    base_job_template TEXT NOT NULL,
    is_paused INTEGER NOT NULL,
    concurrency_limit INTEGER,
    status TEXT,
    default_queue_id TEXT NOT NULL,
    storage_configuration TEXT NOT NULL,
    last_status_event_id TEXT,
    last_status_at TEXT
) STRICT;

CREATE TABLE work_queue (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    is_paused INTEGER NOT NULL,
    concurrency_limit INTEGER,
    priority INTEGER NOT NULL,
    filter TEXT,
    last_polled TEXT,
    status TEXT NOT NULL,
    work_pool_id TEXT NOT NULL REFERENCES work_pool (id) ON DELETE CASCADE
) STRICT;

CREATE UNIQUE INDEX work_queue_by_name ON work_queue (work_pool_id, name);
CREATE INDEX work_queue_by_priority ON work_queue (work_pool_id, priority);
CREATE INDEX work_queue_by_poll ON work_queue (last_polled) WHERE status = 'READY';

-- A worker is online until `online_until`, unless a heartbeat moves it.
CREATE TABLE worker (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL,
    work_pool_id TEXT NOT NULL REFERENCES work_pool (id) ON DELETE CASCADE,
    last_heartbeat_time TEXT NOT NULL,
    heartbeat_interval_seconds INTEGER,
    status TEXT NOT NULL,
    online_until TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX worker_by_name ON worker (work_pool_id, name);
CREATE INDEX worker_by_heartbeat ON worker (work_pool_id, last_heartbeat_time);
CREATE INDEX worker_by_deadline ON worker (online_until) WHERE status = 'ONLINE';

-- What a worker asks for (the runs of a queue that are due, in order) and what a limit counts.
CREATE INDEX flow_run_by_work_queue
    ON flow_run (work_queue_id, state_type, next_scheduled_start_time)
    WHERE work_queue_id IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('work_pool', 'sqlite_autoindex_work_pool_1', '20 1'),
    ('work_pool', 'sqlite_autoindex_work_pool_2', '20 1'),
    ('work_queue', 'sqlite_autoindex_work_queue_1', '60 1'),
    ('work_queue', 'work_queue_by_name', '60 3 1'),
    ('work_queue', 'work_queue_by_priority', '60 3 1'),
    ('work_queue', 'work_queue_by_poll', '40 1'),
    ('worker', 'sqlite_autoindex_worker_1', '200 1'),
    ('worker', 'worker_by_name', '200 10 1'),
    ('worker', 'worker_by_heartbeat', '200 10 1'),
    ('worker', 'worker_by_deadline', '100 1'),
    ('flow_run', 'flow_run_by_work_queue', '500000 10000 2000 1');
ANALYZE sqlite_schema;
