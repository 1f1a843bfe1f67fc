"""The `flow` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.filters import joins
from lictor.schema.filters.engine import Filters, condition
from lictor.schema.filters.sorts import FLOW_ORDER
from lictor.schema.tables.flow_runs import delete_tags, write_tags
from lictor.schema.tables.runs import EMPTY_LIST, EMPTY_OBJECT, encode_text
from lictor.schema.wire.flows import Flow

COLUMNS = "f.id, f.created, f.updated, f.name, f.tags, f.labels"
"""What `to_wire` takes, in this order."""


def to_wire(row: tuple[Any, ...]) -> Flow:
    """The answer for a row of `COLUMNS`."""
    id_, created, updated, name, tags, labels = row
    return Flow(
        id_,
        created,
        updated,
        name,
        EMPTY_LIST if tags == "[]" else Raw(tags),
        EMPTY_OBJECT if labels == "{}" else Raw(labels),
    )


def read(tx: ReadTx, id_: str) -> Flow | None:
    """The flow called `id_`."""
    row = tx.one(f"SELECT {COLUMNS} FROM flow f WHERE f.id = ?", (id_,))
    return None if row is None else to_wire(row)


def read_by_name(tx: ReadTx, name: str) -> Flow | None:
    """The flow whose name is `name`."""
    row = tx.one(f"SELECT {COLUMNS} FROM flow f WHERE f.name = ?", (name,))
    return None if row is None else to_wire(row)


def matching_ids(tx: ReadTx, filters: Filters, limit: int) -> list[str]:
    """Ids of up to `limit` flows that match, by name."""
    where = condition("flows", joins.OF_FLOWS, filters)
    rows = tx.all(
        f"SELECT f.id FROM flow f WHERE {where.sql} ORDER BY {FLOW_ORDER['NAME_ASC']} LIMIT ?",
        (*where.args, limit),
    )
    return [id_ for (id_,) in rows]


def insert(tx: Tx, flow: Flow) -> None:
    """Store a new flow and index its tags. Its name must be free."""
    tags, labels = bytes(flow.tags), bytes(flow.labels)
    row = tx.one(
        "INSERT INTO flow (id, created, updated, name, tags, labels)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING seq",
        (flow.id, flow.created, flow.updated, flow.name, tags.decode(), labels.decode()),
    )
    assert row is not None
    write_tags(tx, "flow_tag", row[0], msgspec.json.decode(tags))


def touch(tx: Tx, id_: str, now: str) -> bool:
    """Note the moment of an update; False if there is no such flow."""
    row = tx.one("UPDATE flow SET updated = ? WHERE id = ? RETURNING seq", (now, id_))
    return row is not None


def update_tags(tx: Tx, id_: str, tags: list[str]) -> None:
    """Replace the tags. The flow must exist."""
    row = tx.one("SELECT seq, tags FROM flow WHERE id = ?", (id_,))
    assert row is not None
    delete_tags(tx, "flow_tag", [row])
    write_tags(tx, "flow_tag", row[0], tags)
    tx.run("UPDATE flow SET tags = ? WHERE seq = ?", (encode_text(tags).decode(), row[0]))


def run_ids(tx: ReadTx, id_: str, limit: int) -> list[str]:
    """Ids of up to `limit` runs of the flow, in any order."""
    rows = tx.all("SELECT id FROM flow_run WHERE flow_id = ? LIMIT ?", (id_, limit))
    return [run_id for (run_id,) in rows]


def delete(tx: Tx, id_: str) -> None:
    """Delete the flow with its tags. Its runs are gone already."""
    row = tx.one("SELECT seq, tags FROM flow WHERE id = ?", (id_,))
    assert row is not None
    delete_tags(tx, "flow_tag", [row])
    tx.run("DELETE FROM flow WHERE seq = ?", (row[0],))
