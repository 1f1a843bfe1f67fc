"""The `concurrency_limit` table: limits with what is in use of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import structs

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.filters.clauses import is_in
from lictor.schema.rules.slots import Limit

_COLUMNS = (
    "l.seq, l.id, l.created, l.updated, l.name, l.active, l.capacity, l.decay_per_s,"
    " l.occupancy_s, l.loose_slots, l.loose_at"
)
_READ = (
    f"SELECT {_COLUMNS}, (SELECT total(s.slots) FROM leased_slots s WHERE s.limit_seq = l.seq)"
    " FROM concurrency_limit l"
)
READ_HELD = (
    f"SELECT h.slots, {_COLUMNS}, 0 FROM leased_slots h JOIN concurrency_limit l"
    " ON l.seq = h.limit_seq WHERE h.lease_seq = ?"
)
"""The slots that a lease holds of each of its limits, and the limit as `to_limit` takes it; what
other leases hold of it is left out."""
_BY_NAME = f"{_READ} WHERE l.name = ?"
_BY_ID = f"{_READ} WHERE l.id = ?"
_TAGS_END = "tag;"
"""The first text after every one that begins with `tag:`."""


def to_limit(row: tuple[Any, ...]) -> Limit:
    """The limit of a row of the columns above."""
    seq, id_, created, updated, name, active, capacity, decay, occupancy, loose, at, leased = row
    return Limit(
        seq, id_, created, updated, name, bool(active), capacity, decay, occupancy, loose, at,
        int(leased),
    )  # fmt: skip


def read(tx: ReadTx, id_: str) -> Limit | None:
    """The limit called `id_`."""
    row = tx.one(_BY_ID, (id_,))
    return None if row is None else to_limit(row)


def read_by_name(tx: ReadTx, name: str) -> Limit | None:
    """The limit whose name is `name`."""
    row = tx.one(_BY_NAME, (name,))
    return None if row is None else to_limit(row)


def read_named(tx: ReadTx, names: Iterable[str]) -> list[Limit]:
    """The limits that have one of `names`, each once, by name."""
    rows = [tx.one(_BY_NAME, (name,)) for name in sorted(set(names))]
    return [to_limit(row) for row in rows if row is not None]


def read_each(tx: ReadTx, ids: Iterable[str]) -> list[Limit]:
    """The limits with these ids, in any order."""
    among = is_in("l.id", list(ids))
    return [to_limit(row) for row in tx.all(f"{_READ} WHERE {among.sql}", among.args)]


def read_page(tx: ReadTx, limit: int, offset: int) -> list[Limit]:
    """A page of all limits, by name."""
    rows = tx.all(f"{_READ} ORDER BY l.name LIMIT ? OFFSET ?", (limit, offset))
    return [to_limit(row) for row in rows]


def read_tag_page(tx: ReadTx, limit: int, offset: int) -> list[Limit]:
    """A page of the limits on tags, by name."""
    rows = tx.all(
        f"{_READ} WHERE l.name >= 'tag:' AND l.name < '{_TAGS_END}'"
        " ORDER BY l.name LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [to_limit(row) for row in rows]


def insert(tx: Tx, limit: Limit) -> Limit:
    """Store a new limit, whose name must be free; it comes back with its `seq`."""
    row = tx.one(
        "INSERT INTO concurrency_limit (id, created, updated, name, active, capacity, decay_per_s,"
        " occupancy_s, loose_slots, loose_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " RETURNING seq",
        (
            limit.id, limit.created, limit.updated, limit.name, int(limit.active), limit.limit,
            limit.decay_per_s, limit.occupancy_s, limit.loose_slots, limit.loose_at,
        ),
    )  # fmt: skip
    assert row is not None
    return structs.replace(limit, seq=row[0])


def update(tx: Tx, seq: int, columns: dict[str, Value]) -> None:
    """Write these columns of a limit."""
    settings = ", ".join(f"{column} = ?" for column in columns)
    tx.run(f"UPDATE concurrency_limit SET {settings} WHERE seq = ?", (*columns.values(), seq))


def set_loose(tx: Tx, seq: int, slots: float, now_at: float) -> None:
    """What is in use without a lease, or, of a limit with decay, in all."""
    tx.run(
        "UPDATE concurrency_limit SET loose_slots = ?, loose_at = ? WHERE seq = ?",
        (slots, now_at, seq),
    )


def set_occupancy(tx: Tx, seq: int, occupancy_s: float) -> None:
    """How long a slot is held on average."""
    tx.run("UPDATE concurrency_limit SET occupancy_s = ? WHERE seq = ?", (occupancy_s, seq))


def delete(tx: Tx, seq: int) -> None:
    """Delete a limit. Leases over it stay, without it."""
    tx.run("DELETE FROM concurrency_limit WHERE seq = ?", (seq,))
