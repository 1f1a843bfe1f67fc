"""The `event` tables: storing, reading back in commit order, deleting what has expired.

Events share names, resource ids and whole lists of related resources
(docs/decisions/storage-format.md); lists and resources go with the last event that names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.events.codec import (
    pack,
    pack_id,
    pack_moment,
    unpack,
    unpack_id,
    unpack_moment,
)
from lictor.schema.events.event import RESOURCE_ID, Event, Resource, StoredEvent
from lictor.schema.times import Timestamp

COLUMNS = "e.seq, e.id, e.occurred, e.received, e.follows, n.name, r.id, e.related, s.body, e.body"
"""What `Rows.event` takes, in this order."""

FROM = (
    "event e JOIN event_name n ON n.key = e.name JOIN event_resource r ON r.key = e.resource"
    " LEFT JOIN event_related s ON s.key = e.related"
)
"""The tables behind `COLUMNS`, under their aliases."""

_INSERT = (
    "INSERT INTO event (id, occurred, received, follows, name, resource, related, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING seq"
)
_INSERT_INVOLVED = (
    "INSERT INTO event_involved (resource, occurred, seq, is_related) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)

_encode = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(tuple[Resource, dict[str, Any]]).decode
_decode_related = msgspec.json.Decoder(list[Resource]).decode


def insert(tx: Tx, events: Sequence[Event]) -> list[StoredEvent]:
    """Store those of `events` whose ids are new, in order, and publish them; those alone come back.

    An id that is already stored changes nothing: the first one wins.
    """
    names = _keys(tx, "event_name", "name", {event.event for event in events})
    resources = _keys(tx, "event_resource", "id", _resource_ids(events))
    related_keys: dict[bytes, int | None] = {b"[]": None}
    stored: list[StoredEvent] = []
    involved: list[tuple[int, int, int, int]] = []
    for event in events:
        related_text = _encode(event.related)
        if related_text not in related_keys:
            related_keys[related_text] = _related_key(tx, related_text)
        own = resources[event.resource[RESOURCE_ID]]
        occurred = pack_moment(event.occurred)
        labels = {key: value for key, value in event.resource.items() if key != RESOURCE_ID}
        row = tx.one(
            _INSERT,
            (
                pack_id(event.id),
                occurred,
                pack_moment(event.received),
                None if event.follows is None else pack_id(event.follows),
                names[event.event],
                own,
                related_keys[related_text],
                pack(_encode((labels, event.payload))),
            ),
        )
        if row is None:
            continue
        seq: int = row[0]
        involved.append((own, occurred, seq, 0))
        for resource in event.related:
            involved.append((resources[resource[RESOURCE_ID]], occurred, seq, 1))
        stored.append(StoredEvent(seq, event))
    tx.many(_INSERT_INVOLVED, involved)
    for item in stored:
        tx.publish(item)
    return stored


def _resource_ids(events: Sequence[Event]) -> set[str]:
    ids = {event.resource[RESOURCE_ID] for event in events}
    for event in events:
        for resource in event.related:
            ids.add(resource[RESOURCE_ID])
    return ids


def _keys(tx: Tx, table: str, column: str, values: set[str]) -> dict[str, int]:
    """The key of each of `values`; new ones get theirs now."""
    found: dict[str, int] = dict(
        tx.all(
            f"SELECT t.{column}, t.key FROM json_each(?) j JOIN {table} t ON t.{column} = j.value",
            (_encode(list(values)).decode(),),
        )
    )
    for value in sorted(values - found.keys()):
        row = tx.one(f"INSERT INTO {table} ({column}) VALUES (?) RETURNING key", (value,))
        assert row is not None
        found[value] = row[0]
    return found


def _related_key(tx: Tx, text: bytes) -> int:
    """The key of a list of related resources, given as its JSON text."""
    digest = hashlib.blake2b(text, digest_size=16).digest()
    row = tx.one("SELECT key FROM event_related WHERE digest = ?", (digest,))
    if row is None:
        row = tx.one(
            "INSERT INTO event_related (digest, body) VALUES (?, ?) RETURNING key",
            (digest, pack(text)),
        )
        assert row is not None
    key: int = row[0]
    return key


class Rows:
    """Turns rows of `COLUMNS` into events. Lists of related resources are decoded once."""

    def __init__(self) -> None:
        self._related: dict[int, list[Resource]] = {}

    def event(self, row: tuple[Any, ...]) -> StoredEvent:
        (
            seq, id_, occurred, received, follows,
            name, resource_id, related_key, related_body, body,
        ) = row  # fmt: skip
        labels, payload = _decode_body(unpack(body))
        related: list[Resource] = []
        if related_key is not None:
            known = self._related.get(related_key)
            if known is None:
                known = self._related[related_key] = _decode_related(unpack(related_body))
            related = known
        event = Event(
            unpack_moment(occurred),
            name,
            {RESOURCE_ID: resource_id, **labels},
            related,
            payload,
            unpack_id(id_),
            None if follows is None else unpack_id(follows),
            unpack_moment(received),
        )
        return StoredEvent(seq, event)

    def events(self, rows: Iterable[tuple[Any, ...]]) -> list[StoredEvent]:
        return [self.event(row) for row in rows]


def newest_seq(tx: ReadTx) -> int:
    """The place of the newest event in commit order; 0 before the first."""
    row = tx.one("SELECT max(seq) FROM event")
    assert row is not None
    return row[0] or 0


def read_after(tx: ReadTx, seq: int, limit: int) -> list[StoredEvent]:
    """The first `limit` events committed after the place `seq`, in commit order."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM {FROM} WHERE e.seq > ? ORDER BY e.seq LIMIT ?", (seq, limit)
    )
    return Rows().events(rows)


def read(tx: ReadTx, id_: str) -> StoredEvent | None:
    """The event called `id_`."""
    row = tx.one(f"SELECT {COLUMNS} FROM {FROM} WHERE e.id = ?", (pack_id(id_),))
    return None if row is None else Rows().event(row)


def delete_expired(tx: Tx, before: Timestamp, limit: int) -> int:
    """Delete the oldest events that occurred before `before`, at most `limit`; how many there were.

    Run it again until it returns less than `limit`.
    """
    rows = tx.all(
        f"SELECT {COLUMNS} FROM {FROM} WHERE e.occurred < ? ORDER BY e.occurred LIMIT ?",
        (pack_moment(before), limit),
    )
    expired = Rows().events(rows)
    ids = _resource_ids([item.event for item in expired])
    keys = _keys(tx, "event_resource", "id", ids)
    tx.many(
        "DELETE FROM event_involved WHERE resource = ? AND occurred = ? AND seq = ?",
        [
            (keys[resource[RESOURCE_ID]], row[2], item.seq)
            for row, item in zip(rows, expired, strict=True)
            for resource in item.event.involved_resources
        ],
    )
    tx.many("DELETE FROM event WHERE seq = ?", [(item.seq,) for item in expired])
    tx.many(
        "DELETE FROM event_related WHERE key = ?"
        " AND NOT EXISTS (SELECT 1 FROM event WHERE related = ?)",
        {(row[7], row[7]) for row in rows if row[7] is not None},
    )
    tx.many(
        "DELETE FROM event_resource WHERE key = ?"
        " AND NOT EXISTS (SELECT 1 FROM event_involved WHERE resource = ?)",
        [(key, key) for key in keys.values()],
    )
    return len(rows)
