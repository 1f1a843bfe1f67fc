"""Deployments and flows behind the API in the test's own process: real journal, no network."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.api import (
    deployment_runs,
    deployment_schedules,
    deployment_search,
    deployments,
    flow_run_search,
    flow_runs,
    flows,
    ui,
)
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.services import Services
from lictor.actors.journal import Journal
from lictor.actors.orchestrator import Orchestrator
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint

OPERATIONS = (
    *deployment_runs.OPERATIONS,
    *deployment_schedules.OPERATIONS,
    *deployment_search.OPERATIONS,
    *deployments.OPERATIONS,
    *flow_run_search.OPERATIONS,
    *flow_runs.OPERATIONS,
    *flows.OPERATIONS,
    *ui.OPERATIONS,
)


class Api:
    """`await api(method, path, body)` is a request: status and decoded body of its answer."""

    def __init__(self, services: Services) -> None:
        self._handle = build_handle(services, OPERATIONS, services.settings)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> tuple[int, Any]:
        raw = b"" if body is None else msgspec.json.encode(body)
        response = await self._handle(Request(method, f"/api{path}", b"", list(headers), raw))
        return response.status, msgspec.json.decode(response.body) if response.body else None

    async def flow(self, name: str = "flow") -> str:
        _, flow = await self("POST", "/flows/", {"name": name})
        id_: str = flow["id"]
        return id_

    async def deployment(self, flow_id: str, name: str = "dep", **body: Any) -> str:
        status, made = await self(
            "POST", "/deployments/", {"flow_id": flow_id, "name": name, **body}
        )
        assert status == 201, made
        id_: str = made["id"]
        return id_


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    path = tmp_path / "lictor.db"
    writer = sqlite.open_writer(path, synchronous="OFF")
    loop_reader, reader = sqlite.open_reader(path), sqlite.open_reader(path)
    journal = Journal(writer, InlineExecutor())
    services = Services(
        settings=Settings(home=tmp_path),
        mint=Mint(random=random.Random(7)),
        journal=journal,
        readers=Readers(loop_reader, [(reader, InlineExecutor())]),
        orchestrator=Orchestrator(journal),
        hub=cast(Any, None),
        logs=cast(Any, None),
        leases=cast(Any, None),
        task_queue=cast(Any, None),
        worker_channels=cast(Any, None),
        cleanup_queue=cast(Any, None),
        catch_up=cast(Any, None),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield Api(services)
        journal.close()
    for connection in (reader, loop_reader, writer):
        connection.close()
