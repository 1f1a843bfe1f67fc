"""Every mailbox, filled: one request more is refused with 503 and Retry-After, at once.

The disk stands still meanwhile; when it goes on, whoever was let in gets the answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from lictor.actors import readers as readers_module
from lictor.actors.catch_up import CatchUp
from lictor.actors.cleanup import CleanupQueue
from lictor.actors.events import EventHub
from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.api import OPERATIONS
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Handle, Request, Response
from lictor.actors.ingress.services import Services
from lictor.actors.journal import Journal
from lictor.actors.leases import LeaseManager
from lictor.actors.logs import LogWriter
from lictor.actors.orchestrator import Orchestrator
from lictor.actors.readers import Readers
from lictor.actors.task_queue import TaskQueue
from lictor.actors.worker_channel import WorkerChannels
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint

T = TypeVar("T")

NOW = "2026-11-21T12:00:00.000000Z"


class StandingExecutor(InlineExecutor):
    """A thread that does nothing before `gate` is set."""

    def __init__(self) -> None:
        self.gate = trio.Event()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await self.gate.wait()
        return await super().run(function)


class Server:
    """Handle and actors, without a socket. `gate` lets the disk go on."""

    def __init__(self, handle: Handle, services: Services, gate: trio.Event) -> None:
        self.handle = handle
        self.services = services
        self.gate = gate

    async def post(self, path: str, body: Any) -> Response:
        headers = [(b"host", b"lictor"), (b"content-type", b"application/json")]
        return await self.handle(
            Request("POST", f"/api{path}", b"", headers, json.dumps(body).encode())
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lictor.db"


@asynccontextmanager
async def standing(path: Path, **limits: int) -> AsyncIterator[Server]:
    """A server whose disk stands still; `limits` name the mailbox limit of each actor."""
    settings = Settings(requests_in_flight_max=limits.get("requests", 1000))
    mint, executor = Mint(), StandingExecutor()
    connections = [sqlite.open_writer(path), *(sqlite.open_reader(path) for _ in range(2))]
    journal = Journal(connections[0], executor, mailbox_limit=limits.get("journal", 100))
    readers = Readers(
        connections[1],
        [(connections[2], executor)],
        waiting_limit=limits.get("readers", 100),
    )
    hub = EventHub(journal, readers, mint, settings, 0, batches_waiting_max=limits.get("hub", 100))
    logs = LogWriter(journal, mint, 0, batches_waiting_max=limits.get("logs", 100))
    services = Services(
        settings=settings,
        mint=mint,
        journal=journal,
        readers=readers,
        orchestrator=Orchestrator(journal, in_flight_limit=limits.get("orchestrator", 100)),
        hub=hub,
        logs=logs,
        leases=LeaseManager(journal, readers, mint, settings),
        task_queue=TaskQueue(journal, readers, mint, settings),
        worker_channels=WorkerChannels(journal, readers),
        cleanup_queue=CleanupQueue(journal, readers, mint, settings),
        catch_up=CatchUp(journal, readers, mint, settings),
    )
    async with trio.open_nursery() as nursery:
        for actor in (journal, hub, logs):
            await nursery.start(actor.run)
        yield Server(build_handle(services, OPERATIONS, settings), services, executor.gate)
        nursery.cancel_scope.cancel()
    for connection in connections:
        connection.close()


LINES = [{"name": "a", "level": 20, "message": "hello", "timestamp": NOW}]
RUN = {"flow_id": "0190a000-0000-7000-8000-000000000001"}


def event(number: int) -> dict[str, Any]:
    return {
        "id": f"0190a000-0000-7000-8000-{number:012d}",
        "occurred": NOW,
        "event": "a.b",
        "resource": {"prefect.resource.id": "a"},
    }


@pytest.mark.parametrize(
    ("limits", "path_and_body", "let_in", "answer", "reason"),
    [
        # One is on its way to the disk, the limit's number waits, the rest is refused.
        ({"journal": 3}, ("/flows/", {"name": "a"}), 4, 201, "journal has 3 requests waiting"),
        ({"orchestrator": 3}, ("/flow_runs/", RUN), 3, 409, "orchestrator has 3 commands"),
        ({"logs": 3}, ("/logs/", LINES), 4, 201, "log writer has 3 requests waiting"),
        ({"hub": 3}, ("/events", [event(1)]), 4, 204, "event hub has 3 requests waiting"),
        ({"requests": 3}, ("/flows/", {"name": "a"}), 3, 201, "Too many requests"),
    ],
)
async def test_a_full_mailbox_answers_503_at_once_and_the_others_are_served(
    path: Path,
    limits: dict[str, int],
    path_and_body: tuple[str, Any],
    let_in: int,
    answer: int,
    reason: str,
) -> None:
    answers: list[Response] = []

    async def post(server: Server) -> None:
        answers.append(await server.post(*path_and_body))

    async with standing(path, **limits) as server, trio.open_nursery() as clients:
        for _ in range(let_in):
            clients.start_soon(post, server)
            await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        for _ in range(5):
            await post(server)
        for refused in answers:
            assert refused.status == 503
            assert dict(refused.headers)[b"retry-after"].isdigit()
            assert reason in json.loads(refused.body)["detail"]
        answers.clear()
        server.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [each.status // 100 for each in answers] == [answer // 100] * let_in


async def test_searches_that_wait_for_a_thread_are_bounded_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every search is too slow for the loop here, and the only thread stands still."""
    monkeypatch.setattr(readers_module, "INLINE_LIMIT_S", -1.0)
    monkeypatch.setattr(sqlite, "PROGRESS_STEPS", 1)
    answers: list[Response] = []

    async def search(server: Server) -> None:
        answers.append(await server.post("/flow_runs/count", {}))

    async with standing(path, readers=3) as server, trio.open_nursery() as clients:
        for _ in range(4):
            clients.start_soon(search, server)
            await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        await search(server)
        assert answers[0].status == 503
        assert dict(answers[0].headers)[b"retry-after"] == b"2"
        assert "3 searches are waiting" in json.loads(answers[0].body)["detail"]
        answers.clear()
        server.gate.set()
    assert [(each.status, each.body) for each in answers] == [(200, b"0")] * 4
