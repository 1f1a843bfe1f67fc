"""The requests on work pools, queues and workers, in the process of the test and off the net."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.api import (
    automations,
    collections,
    polls,
    work_pools,
    work_queues,
    workers,
)
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.services import Services
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint

OPERATIONS = (
    *automations.OPERATIONS,
    *collections.OPERATIONS,
    *polls.OPERATIONS,
    *work_pools.OPERATIONS,
    *work_queues.OPERATIONS,
    *workers.OPERATIONS,
)
METADATA = "worker-types.json"


class CaughtUp:
    """Stands for the actor that skips missed runs after a start: it has."""

    async def settled(self) -> None:
        """Return at once."""


class Api:
    """`await api(method, path, body)` is a request; its status and decoded answer."""

    def __init__(self, services: Services) -> None:
        self._handle = build_handle(services, OPERATIONS, services.settings)

    async def __call__(
        self, method: str, path: str, body: Any = None, agent: bytes = b"", pages: bytes = b"-"
    ) -> tuple[int, Any]:
        """`agent` and `pages`: the headers `User-Agent` and, unless it is "-", `X-Prefect-UI`."""
        raw = b"" if body is None else msgspec.json.encode(body)
        headers = [(b"user-agent", agent)] if agent else []
        headers += [(b"x-prefect-ui", pages)] if pages != b"-" else []
        response = await self._handle(Request(method, f"/api{path}", b"", headers, raw))
        return response.status, msgspec.json.decode(response.body) if response.body else None


@pytest.fixture
async def api(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Where a test asks for `described`, worker types are read from that file."""
    path = tmp_path / "lictor.db"
    writer = sqlite.open_writer(path, synchronous="OFF")
    loop_reader, reader = sqlite.open_reader(path), sqlite.open_reader(path)
    journal = Journal(writer, InlineExecutor())
    described = tmp_path / METADATA if "described" in request.fixturenames else None
    given: dict[str, Any] = {
        "settings": Settings(home=tmp_path, worker_metadata=described),
        "mint": Mint(random=random.Random(7)),
        "catch_up": CaughtUp(),
        "journal": journal,
        "readers": Readers(loop_reader, [(reader, InlineExecutor())]),
    }
    absent = {name: cast(Any, None) for name in Services.__slots__ if name not in given}
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield Api(Services(**given, **absent))
        journal.close()
    for connection in (reader, loop_reader, writer):
        connection.close()


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """The file of the operator's own worker types; it is not there yet."""
    return tmp_path / METADATA
