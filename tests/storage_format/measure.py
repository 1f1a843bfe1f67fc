"""Measures the candidate storage formats of events: bytes on disk and CPU for each event.

    python tests/storage_format/measure.py

The figures of `docs/decisions/storage-format.md` come from here. Each candidate stores the same
task-run and flow-run events, shaped as the Prefect client and server make them, in a new in-memory
database, in transactions of `GROUP` events.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import apsw
import msgspec

from lictor.schema.backends.sqlite import SqliteTx, migrations
from lictor.schema.events.codec import DICTIONARY
from lictor.schema.events.event import Event
from lictor.schema.tables import events as tables

RUNS, TASKS, GROUP = 60, 10, 33
EVENTS_MIGRATION = 3
Json = dict[str, Any]
Store = Callable[[apsw.Connection, Sequence[Json]], None]
STEPS = (("PENDING", "Pending"), ("RUNNING", "Running"), ("COMPLETED", "Completed"))


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def new_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def resource(kind: str, id: str, role: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"prefect.{kind}.{id}",
        "prefect.resource.role": role,
        "prefect.resource.name": f"{kind}-name",
    }


def run_events(rng: random.Random, flow_id: str, start: datetime) -> Iterator[Json]:
    """The events of one flow run: three of its own and three of each of its task runs."""
    run_id = new_id(rng)
    flow = resource("flow", flow_id, "flow")
    related = [resource("flow-run", run_id, "flow-run"), flow]
    yield from transitions(rng, "flow-run", run_id, [flow], start, {})
    for index in range(TASKS):
        task_run = {
            "name": f"work-{index}", "task_key": "work-abcdef12", "dynamic_key": str(index),
            "empirical_policy": {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 0},
            "tags": [], "labels": {"prefect.flow.id": flow_id, "prefect.flow-run.id": run_id},
            "task_inputs": {"x": []}, "run_count": 1, "flow_run_run_count": 1,
            "expected_start_time": stamp(start), "total_run_time": rng.random(),
        }  # fmt: skip
        yield from transitions(rng, "task-run", new_id(rng), related, start, {"task_run": task_run})


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def transitions(
    rng: random.Random, kind: str, id: str, related: list[Json], start: datetime, payload: Json
) -> Iterator[Json]:
    before, follows = None, None
    for step, (state_type, name) in enumerate(STEPS):
        occurred = stamp(start + timedelta(milliseconds=step, microseconds=rng.randrange(900)))
        state = {"type": state_type, "name": name, "message": None, "state_details": {}}
        event_id = new_id(rng)
        yield {
            "occurred": occurred,
            "event": f"prefect.{kind}.{name}",
            "resource": {
                "prefect.resource.id": f"prefect.{kind}.{id}",
                "prefect.resource.name": f"{kind}-name", "prefect.run-count": "1",
                "prefect.state-message": "", "prefect.state-name": name,
                "prefect.state-timestamp": occurred, "prefect.state-type": state_type,
                "prefect.orchestration": "client",
            },
            "related": related,
            "payload": {
                "intended": {"from": before and before["type"], "to": state_type},
                "initial_state": before, "validated_state": state, **payload,
            },
            "id": event_id, "follows": follows, "received": occurred,
        }  # fmt: skip
        before, follows = state, event_id


PLAIN = """
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, occurred TEXT NOT NULL, name TEXT NOT NULL,
    resource_id TEXT NOT NULL, resource TEXT NOT NULL, related TEXT NOT NULL,
    payload TEXT NOT NULL, received TEXT NOT NULL, follows TEXT) STRICT;
CREATE INDEX event_by_occurred ON event (occurred);
CREATE TABLE event_resource (
    resource_id TEXT NOT NULL, occurred TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (resource_id, occurred, seq)) STRICT, WITHOUT ROWID;
"""


def store_plain(db: apsw.Connection, events: Sequence[Json]) -> None:
    """A: JSON and ids as text, nothing shared."""
    for e in events:
        db.execute(
            "INSERT OR IGNORE INTO event (id, occurred, name, resource_id, resource, related,"
            " payload, received, follows) VALUES (?,?,?,?,?,?,?,?,?)",
            (e["id"], e["occurred"], e["event"], e["resource"]["prefect.resource.id"],
             compact(e["resource"]), compact(e["related"]), compact(e["payload"]),
             e["received"], e["follows"]),
        )  # fmt: skip
        seq = db.last_insert_rowid()
        involved = (e["resource"], *e["related"])
        db.executemany(
            "INSERT OR IGNORE INTO event_resource VALUES (?,?,?)",
            [(r["prefect.resource.id"], e["occurred"], seq) for r in involved],
        )


def interned(id_type: str, time_type: str) -> str:
    return f"""
CREATE TABLE event_name (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE event_resource (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE event_related (
    key INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, id {id_type} NOT NULL UNIQUE, occurred {time_type} NOT NULL,
    received {time_type} NOT NULL, follows {id_type}, name INTEGER NOT NULL,
    resource INTEGER NOT NULL, related INTEGER, body BLOB NOT NULL) STRICT;
CREATE INDEX event_by_occurred ON event (occurred);
CREATE TABLE event_involved (
    resource INTEGER NOT NULL, occurred {time_type} NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (resource, occurred, seq)) STRICT, WITHOUT ROWID;
"""


def deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(3, zlib.DEFLATED, -13, 5, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    return packer.compress(body) + packer.flush()


def microseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


def packed(id: str | None) -> bytes | None:
    return bytes.fromhex(id.replace("-", "")) if id else None


def keys(db: apsw.Connection, table: str, column: str, values: set[str]) -> dict[str, int]:
    """The keys of `values`, made where they are new: one SELECT, and inserts for what is new."""
    wanted = compact(list(values))
    found = dict(
        db.execute(
            f"SELECT t.{column}, t.key FROM json_each(?) j JOIN {table} t ON t.{column} = j.value",
            (wanted,),
        )
    )
    for value in values - found.keys():
        db.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (value,))
        found[value] = db.last_insert_rowid()
    return found


def related_key(db: apsw.Connection, related: str, squeeze: Callable[[bytes], bytes]) -> int:
    digest = hashlib.blake2b(related.encode(), digest_size=16).digest()
    row = db.execute("SELECT key FROM event_related WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        body = squeeze(related.encode())
        db.execute("INSERT INTO event_related (digest, body) VALUES (?,?)", (digest, body))
        return db.last_insert_rowid()
    return int(row[0])


def storing(
    squeeze: Callable[[bytes], bytes],
    pack_id: Callable[[str | None], Any],
    moment: Callable[[str], Any],
) -> Store:
    """B and C: names, resource ids and lists of related resources are stored once."""

    def store(db: apsw.Connection, events: Sequence[Json]) -> None:
        names = keys(db, "event_name", "name", {e["event"] for e in events})
        ids = {r["prefect.resource.id"] for e in events for r in (e["resource"], *e["related"])}
        resources = keys(db, "event_resource", "id", ids)
        sets: dict[str, int] = {}
        for e in events:
            text = compact(e["related"])
            if text not in sets:
                sets[text] = related_key(db, text, squeeze)
            own = resources[e["resource"]["prefect.resource.id"]]
            occurred = moment(e["occurred"])
            body = squeeze((compact(e["resource"]) + compact(e["payload"])).encode())
            db.execute(
                "INSERT OR IGNORE INTO event"
                " (id, occurred, received, follows, name, resource, related, body)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (pack_id(e["id"]), occurred, moment(e["received"]), pack_id(e["follows"]),
                 names[e["event"]], own, sets[text], body),
            )  # fmt: skip
            seq = db.last_insert_rowid()
            involved = [own, *(resources[r["prefect.resource.id"]] for r in e["related"])]
            db.executemany(
                "INSERT OR IGNORE INTO event_involved VALUES (?,?,?)",
                [(key, occurred, seq) for key in involved],
            )

    return store


def store_as_built(db: apsw.Connection, events: Sequence[Json]) -> None:
    """What lictor does: B' through its own table functions and codec."""
    tables.insert(SqliteTx(db), [msgspec.convert(event, Event) for event in events])


def as_built() -> str:
    return next(sql for number, sql in migrations() if number == EVENTS_MIGRATION)


def same(value: Any) -> Any:
    return value


CANDIDATES: dict[str, tuple[str, Store]] = {
    "A: plain JSON, text ids": (PLAIN, store_plain),
    "C: interned, text ids and moments": (interned("TEXT", "TEXT"), storing(same, same, same)),
    "C': interned, binary ids and moments": (
        interned("BLOB", "INTEGER"),
        storing(same, packed, microseconds),
    ),
    "B: interned, deflated, text ids and moments": (
        interned("TEXT", "TEXT"),
        storing(deflate, same, same),
    ),
    "B': interned, deflated, binary ids and moments": (
        interned("BLOB", "INTEGER"),
        storing(deflate, packed, microseconds),
    ),
    "B' as built": (as_built(), store_as_built),
}


def main() -> None:
    rng = random.Random(1)
    flow_id = new_id(rng)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        event
        for run in range(RUNS)
        for event in run_events(rng, flow_id, start + timedelta(seconds=run))
    ]
    for name, (schema, store) in CANDIDATES.items():
        db = apsw.Connection(":memory:", statementcachesize=100)
        db.execute(schema)
        empty = db.pragma("page_count")
        began = time.process_time()
        for first in range(0, len(events), GROUP):
            db.execute("BEGIN")
            store(db, events[first : first + GROUP])
            db.execute("COMMIT")
        spent = time.process_time() - began
        size = (db.pragma("page_count") - empty) * db.pragma("page_size")
        print(
            f"{name:50} {size / len(events):6.0f} bytes  {spent / len(events) * 1e6:6.1f} us"
            f"  {size / RUNS / 1000:6.1f} kB a run"
        )


if __name__ == "__main__":
    main()
