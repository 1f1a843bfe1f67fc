"""The `flow_run_input` table: what clients leave for a run to read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.errors import Conflict, NotFound
from lictor.schema.mint import Mint
from lictor.schema.wire.inputs import FlowRunInput, InputCreate

_COLUMNS = "id, created, updated, flow_run_id, key, value, sender"
_encode = msgspec.json.Encoder().encode


def insert(tx: Tx, flow_run_id: str, body: InputCreate, mint: Mint) -> None:
    """Store an input.

    Raises:
        NotFound: there is no such run.
        Conflict: the run has an input with this key.
    """
    if tx.one("SELECT 1 FROM flow_run WHERE id = ?", (flow_run_id,)) is None:
        raise NotFound("Flow run not found")
    now = mint.now()
    inserted = tx.run(
        f"INSERT INTO flow_run_input ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (flow_run_id, key) DO NOTHING",
        (mint.id(), now, now, flow_run_id, body.key, body.value, body.sender),
    )
    if not inserted:
        raise Conflict("A flow run input with this key already exists.")


def read_value(tx: ReadTx, flow_run_id: str, key: str) -> str | None:
    """The value under `key`."""
    row = tx.one(
        "SELECT value FROM flow_run_input WHERE flow_run_id = ? AND key = ?", (flow_run_id, key)
    )
    return None if row is None else row[0]


def search(
    tx: ReadTx, flow_run_id: str, prefix: str, limit: int, exclude_keys: Sequence[str]
) -> list[FlowRunInput]:
    """Up to `limit` inputs whose key begins with `prefix`, oldest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM flow_run_input WHERE flow_run_id = ?"
        " AND substr(key, 1, ?) = ? AND key NOT IN (SELECT value FROM json_each(?))"
        " ORDER BY seq LIMIT ?",
        (flow_run_id, len(prefix), prefix, _encode(exclude_keys).decode(), limit),
    )
    return [FlowRunInput(*row) for row in rows]


def delete(tx: Tx, flow_run_id: str, key: str) -> bool:
    """Delete an input; False if there is none."""
    return (
        tx.run("DELETE FROM flow_run_input WHERE flow_run_id = ? AND key = ?", (flow_run_id, key))
        > 0
    )
