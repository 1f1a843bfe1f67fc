-- Events. Ids are 16 bytes, moments microseconds since 1970, bodies deflated; what events of a run
-- repeat is stored once: docs/decisions/storage-format.md has the reasons and the figures.

CREATE TABLE event_name (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE event_resource (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) STRICT;

-- A whole list of related resources, known by the digest of its JSON text.
CREATE TABLE event_related (
    key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;

-- `seq` is the order of commits and is never given twice: the cursor of live tails.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    occurred INTEGER NOT NULL,
    received INTEGER NOT NULL,
    follows BLOB,
    name INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    related INTEGER,
    body BLOB NOT NULL
) STRICT;

-- Name and resource are in it so that counts and menus of the event feed read nothing else.
CREATE INDEX event_by_occurred ON event (occurred, name, resource);

-- Tells retention when a list has lost its last event.
CREATE INDEX event_by_related ON event (related) WHERE related IS NOT NULL;

-- Every resource of an event; `is_related` is 0 for the primary one.
CREATE TABLE event_involved (
    resource INTEGER NOT NULL,
    occurred INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    is_related INTEGER NOT NULL,
    PRIMARY KEY (resource, occurred, seq, is_related)
) STRICT, WITHOUT ROWID;
