"""A database in a file, one open transaction on it, and a clock that waits to be moved."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint

T = TypeVar("T")

START_NS = 1_800_000_000_000_000_000


def as_sent(body: dict[str, Any], type_: type[T]) -> T:
    """`body` as the decoder of requests makes it."""
    return msgspec.json.decode(msgspec.json.encode(body), type=type_)


class Transaction:
    """The transaction, with one flow in it."""

    def __init__(self, path: Path, *, tags: str = "[]", labels: str = "{}") -> None:
        self.connection = sqlite.open_writer(path, synchronous="OFF")
        self.connection.execute("BEGIN IMMEDIATE")
        self.tx = sqlite.SqliteTx(self.connection)
        self.now_ns = START_NS
        self.mint = Mint(wall_ns=self._tick, random=random.Random(7))
        self.settings = Settings()
        self.flow_id = self.mint.id()
        now = self.mint.now()
        self.tx.run(
            "INSERT INTO flow (id, created, updated, name, tags, labels) VALUES (?, ?, ?, ?, ?, ?)",
            (self.flow_id, now, now, "my-flow", tags, labels),
        )

    def _tick(self) -> int:
        """Every look at the clock is a microsecond later than the one before."""
        self.now_ns += 1_000
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
