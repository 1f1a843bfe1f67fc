"""A database in memory-sized form for each test of the event tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.schema.backends.sqlite import SqliteTx, open_writer
from lictor.schema.mint import Mint


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[SqliteTx]:
    """A write transaction that is never committed, on a new database."""
    connection = open_writer(tmp_path / "lictor.db", synchronous="OFF")
    connection.execute("BEGIN IMMEDIATE")
    yield SqliteTx(connection)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.fixture
def mint() -> Mint:
    """A clock that stands still."""
    return Mint(wall_ns=lambda: 1_800_000_000_000_000_000, random=random.Random(1))
