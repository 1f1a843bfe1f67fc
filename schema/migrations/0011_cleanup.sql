-- Clean-up messages: infrastructure that a worker of the pool is to tear down, each delivered at
-- least once. docs/decisions/cleanup-queue.md has the reasons.

-- `status` is waiting, reserved, acknowledged or dead. A reservation is a token, its holder (a
-- consumer under a worker's name) and the end of its lease. `ended` is when a message was
-- acknowledged or died; it is remembered for a while, so that nothing is enqueued twice.
CREATE TABLE cleanup_message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT NOT NULL,
    work_pool_id TEXT NOT NULL REFERENCES work_pool (id) ON DELETE CASCADE,
    work_queue_id TEXT,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    data TEXT NOT NULL,
    created TEXT NOT NULL,
    status TEXT NOT NULL,
    delivery_count INTEGER NOT NULL,
    reservation_token TEXT,
    consumer_id TEXT,
    worker_name TEXT,
    lease_expires_at TEXT,
    ended TEXT,
    reason TEXT,
    release_reason TEXT
) STRICT;

CREATE UNIQUE INDEX cleanup_message_by_key ON cleanup_message (work_pool_id, idempotency_key);
-- What a worker gets: the oldest of its queues, then of its pool.
CREATE INDEX cleanup_message_by_queue ON cleanup_message (work_pool_id, work_queue_id, kind)
    WHERE status = 'waiting';
CREATE INDEX cleanup_message_by_kind ON cleanup_message (work_pool_id, kind)
    WHERE status = 'waiting';
-- What its holders have, and which lease ends first.
CREATE INDEX cleanup_message_by_holder
    ON cleanup_message (work_pool_id, consumer_id, worker_name, lease_expires_at)
    WHERE status = 'reserved';
CREATE INDEX cleanup_message_by_lease ON cleanup_message (lease_expires_at)
    WHERE status = 'reserved';
-- What has waited too long, and what was remembered for long enough.
CREATE INDEX cleanup_message_by_age ON cleanup_message (created) WHERE status = 'waiting';
CREATE INDEX cleanup_message_by_end ON cleanup_message (ended) WHERE ended IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('cleanup_message', 'sqlite_autoindex_cleanup_message_1', '10000 1'),
    ('cleanup_message', 'cleanup_message_by_key', '10000 500 1'),
    ('cleanup_message', 'cleanup_message_by_queue', '1000 50 20 10'),
    ('cleanup_message', 'cleanup_message_by_kind', '1000 50 25'),
    ('cleanup_message', 'cleanup_message_by_holder', '200 10 2 1 1'),
    ('cleanup_message', 'cleanup_message_by_lease', '200 1'),
    ('cleanup_message', 'cleanup_message_by_age', '1000 1'),
    ('cleanup_message', 'cleanup_message_by_end', '9000 1');
ANALYZE sqlite_schema;
