"""A database of the newest schema, and how the rows of the model get into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import SqliteTx

Row = dict[str, Any]
CREATED = "2030-01-01T00:00:00.000000Z"


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("filters") / "lictor.db"
    connection = sqlite.open_writer(path, synchronous="OFF")
    yield connection
    connection.close()


@pytest.fixture
def tx(connection: apsw.Connection) -> Iterator[SqliteTx]:
    """A transaction that is undone after the test."""
    connection.execute("BEGIN")
    yield SqliteTx(connection)
    connection.execute("ROLLBACK")


def insert(tx: SqliteTx, table: str, row: Row) -> int:
    """Store a row, filling the columns it leaves out, and index its tags."""
    empty = dict.fromkeys(("labels", "empirical_policy"), "{}")
    if table == "flow":
        empty = {"labels": "{}"}
    if table == "flow_run":
        empty |= {"parameters": "{}", "context": "{}"}
    if table == "task_run":
        empty |= {"task_inputs": "{}", "task_key": "t", "dynamic_key": row["id"]}
    full = {"created": CREATED, "updated": CREATED, "tags": [], **empty, **row}
    columns = {
        key: json.dumps(value, separators=(",", ":")) if isinstance(value, (list, dict)) else value
        for key, value in full.items()
    }
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    inserted = tx.one(
        f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING seq", tuple(columns.values())
    )
    assert inserted is not None
    for tag in full["tags"]:
        tx.run(f"INSERT INTO {table}_tag VALUES (?, ?)", (tag, inserted[0]))
    return int(inserted[0])


def fill(tx: SqliteTx, flows: list[Row], flow_runs: list[Row], task_runs: list[Row]) -> None:
    for table, found in (("flow", flows), ("flow_run", flow_runs), ("task_run", task_runs)):
        for row in found:
            insert(tx, table, row)
