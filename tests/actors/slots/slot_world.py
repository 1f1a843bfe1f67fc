"""Limits and leases on a real journal and real readers, with clocks that a test can part."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import trio

from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.api import concurrency_limits_v1, concurrency_limits_v2, leases
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.services import Services
from lictor.actors.journal import Journal
from lictor.actors.leases import LeaseManager
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.mint import Mint
from lictor.schema.times import epoch_s

OPERATIONS = (
    *concurrency_limits_v1.OPERATIONS,
    *concurrency_limits_v2.OPERATIONS,
    *leases.OPERATIONS,
)
V2 = "/v2/concurrency_limits"
START_S = 1_800_000_000


class World:
    """One life of a server. `set_ahead_s`: how far the wall clock was moved on."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.set_ahead_s = 0.0
        self.mint = Mint(self._wall_ns, random.Random(7))
        self.settings = Settings(home=path, **settings)
        file = path / "lictor.db"
        self.writer = sqlite.open_writer(file, synchronous="OFF")
        self.reader = sqlite.open_reader(file)
        self.journal = Journal(self.writer, InlineExecutor())
        self.readers = Readers(self.reader, [])
        self.manager = LeaseManager(self.journal, self.readers, self.mint, self.settings)
        services = SimpleNamespace(
            settings=self.settings,
            mint=self.mint,
            journal=self.journal,
            readers=self.readers,
            leases=self.manager,
        )
        self._handle = build_handle(cast(Services, services), OPERATIONS, self.settings)

    def _wall_ns(self) -> int:
        return int((START_S + trio.current_time() + self.set_ahead_s) * 1e9)

    @property
    def now_at(self) -> float:
        return epoch_s(self.mint.now())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Journal and lease manager at work; everything closed afterwards."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.journal.run)
            await nursery.start(self.manager.run)
            yield self
            self.manager.close()
            self.journal.close()
        self.reader.close()
        self.writer.close()

    async def raw(self, method: str, path: str, body: Any = None) -> Response:
        encoded = b"" if body is None else msgspec.json.encode(body)
        return await self._handle(Request(method, f"/api{path}", b"", [], encoded))

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body of the answer."""
        response = await self.raw(method, path, body)
        return response.status, msgspec.json.decode(response.body) if response.body else None

    async def limit(self, name: str = "db", most: int = 1, **body: Any) -> str:
        status, made = await self("POST", f"{V2}/", {"name": name, "limit": most, **body})
        assert status == 201, made
        return made["id"]

    async def lease(self, name: str = "db", slots: int = 1, **body: Any) -> str:
        """The id of a lease that is granted."""
        status, granted = await self._ask(name, slots, body)
        assert status == 200, granted
        return granted["lease_id"]

    async def refused_s(self, name: str = "db", slots: int = 1, **body: Any) -> float:
        """The seconds that a caller is told to wait who is not granted a lease."""
        body = {"names": [name], "slots": slots, **body}
        response = await self.raw("POST", f"{V2}/increment-with-lease", body)
        assert response.status == 423, response
        return float(dict(response.headers)[b"retry-after"])

    async def _ask(self, name: str, slots: int, body: dict[str, Any]) -> tuple[int, Any]:
        return await self(
            "POST", f"{V2}/increment-with-lease", {"names": [name], "slots": slots, **body}
        )

    async def release(self, lease_id: str) -> None:
        body = {"lease_id": lease_id}
        assert (await self("POST", f"{V2}/decrement-with-lease", body))[0] == 204

    async def renew(self, lease_id: str, duration_s: float = 300) -> int:
        body = {"lease_duration": duration_s}
        return (await self("POST", f"{V2}/leases/{lease_id}/renew", body))[0]

    async def in_use(self, name: str = "db") -> int:
        status, found = await self("GET", f"{V2}/{name}")
        assert status == 200, found
        return found["active_slots"]

    def rows(self, table: str) -> int:
        def count(tx: Tx) -> int:
            row = tx.one(f"SELECT count(*) FROM {table}")
            assert row is not None
            return row[0]

        return count(sqlite.SqliteTx(self.reader))

    def events(self) -> list[str]:
        rows = sqlite.SqliteTx(self.reader).all(
            "SELECT n.name FROM event e JOIN event_name n ON n.key = e.name ORDER BY e.seq"
        )
        return [name for (name,) in rows]


def holder(n: int, kind: str = "task_run") -> dict[str, Any]:
    """The body's holder number `n`."""
    return {"holder": {"type": kind, "id": f"00000000-0000-4000-8000-{n:012d}"}}
