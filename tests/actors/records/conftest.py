"""An API in the test's own process: real journal, readers and log writer, no network."""

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
    flow_run_bulk,
    flow_runs,
    flows,
    inputs,
    logs,
    states,
    task_runs,
)
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.services import Services
from lictor.actors.journal import Journal
from lictor.actors.logs import LogWriter
from lictor.actors.orchestrator import Orchestrator
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint


class Api:
    """`await api(method, path, body)` is a request; `api.services` has what serves it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        operations = (
            *flows.OPERATIONS,
            *flow_runs.OPERATIONS,
            *flow_run_bulk.OPERATIONS,
            *task_runs.OPERATIONS,
            *inputs.OPERATIONS,
            *logs.OPERATIONS,
            *states.OPERATIONS,
        )
        self._handle = build_handle(services, operations, services.settings)

    async def raw(self, method: str, path: str, body: bytes = b"", query: bytes = b"") -> Response:
        return await self._handle(Request(method, f"/api{path}", query, [], body))

    async def __call__(
        self, method: str, path: str, body: Any = None, query: bytes = b""
    ) -> tuple[int, Any]:
        """Status and decoded body of the answer."""
        raw = b"" if body is None else msgspec.json.encode(body)
        response = await self.raw(method, path, raw, query)
        if response.media_type != b"application/json":
            return response.status, response.body
        return response.status, msgspec.json.decode(response.body) if response.body else None

    async def run(self, flow_name: str = "flow", run_id: str = "") -> str:
        """The id of a flow run that was just made, without its state."""
        _, flow = await self("POST", "/flows/", {"name": flow_name})
        run_id = run_id or self.services.mint.id()
        await self.services.journal.write(
            lambda tx: tx.run(
                "INSERT INTO flow_run (id, created, updated, name, flow_id, parameters, context,"
                " empirical_policy, tags, labels) VALUES (?, '', '', 'the run', ?, '{}', '{}',"
                " '{}', '[]', '{}')",
                (run_id, flow["id"]),
            )
        )
        return run_id

    def one(self, sql: str, *args: Any) -> tuple[Any, ...] | None:
        return self.services.readers.inline(lambda tx: tx.one(sql, args))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    path = tmp_path / "lictor.db"
    writer = sqlite.open_writer(path, synchronous="OFF")
    loop_reader, reader = sqlite.open_reader(path), sqlite.open_reader(path)
    mint = Mint(random=random.Random(7))
    journal = Journal(writer, InlineExecutor())
    log_writer = LogWriter(journal, mint, 0)
    services = Services(
        settings=Settings(home=tmp_path),
        mint=mint,
        journal=journal,
        readers=Readers(loop_reader, [(reader, InlineExecutor())]),
        orchestrator=Orchestrator(journal),
        hub=cast(Any, None),
        logs=log_writer,
        leases=cast(Any, None),
        task_queue=cast(Any, None),
        worker_channels=cast(Any, None),
        cleanup_queue=cast(Any, None),
        catch_up=cast(Any, None),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        await nursery.start(log_writer.run)
        yield Api(services)
        log_writer.close()
        journal.close()
    for connection in (reader, loop_reader, writer):
        connection.close()
