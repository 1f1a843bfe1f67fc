-- Concurrency limits, and the leases on their slots.
-- What is in use of a limit is the sum over its live leases, and `loose_slots`: those taken without
-- a lease or set by hand. Of a limit whose slots decay, `loose_slots` is all that was in use at
-- `loose_at`, leased or not: it decays whoever holds it.
-- Moments that are only reckoned with, and never sent, are seconds since the Unix epoch.

CREATE TABLE concurrency_limit (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    decay_per_s REAL NOT NULL,
    occupancy_s REAL NOT NULL,
    loose_slots REAL NOT NULL,
    loose_at REAL NOT NULL
) STRICT;

-- A lease without `expires_at` holds until it is released.
CREATE TABLE lease (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    expires_at REAL,
    duration_s REAL,
    holder_type TEXT,
    holder_id TEXT
) STRICT;

CREATE INDEX lease_by_expiry ON lease (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX lease_without_end ON lease (holder_type, holder_id) WHERE expires_at IS NULL;
CREATE INDEX lease_by_holder ON lease (holder_id) WHERE holder_id IS NOT NULL;

-- `slots` is 0 where the limit was not active when the lease was granted.
CREATE TABLE leased_slots (
    limit_seq INTEGER NOT NULL REFERENCES concurrency_limit (seq) ON DELETE CASCADE,
    lease_seq INTEGER NOT NULL REFERENCES lease (seq) ON DELETE CASCADE,
    slots INTEGER NOT NULL,
    PRIMARY KEY (limit_seq, lease_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX leased_slots_by_lease ON leased_slots (lease_seq);
