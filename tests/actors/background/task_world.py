"""A task queue on a real journal and real readers, and a task worker's socket that is two lists."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import trio
from trio.testing import wait_all_tasks_blocked

from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.http import Header
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Frame, Text
from lictor.actors.journal import Job, Journal
from lictor.actors.readers import Readers
from lictor.actors.task_queue import Subscription, TaskQueue
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.commands import task_runs
from lictor.schema.mint import Mint
from lictor.schema.wire.states import SetState
from lictor.schema.wire.task_runs import TaskRun, TaskRunCreate

PATIENCE_S = 200.0
"""Longer than any run is held here: who waits for so long waits for ever."""


class World:
    """Everything the queue needs, and the queue. `names` are the runs' names, by their ids."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.settings = Settings(home=path, **settings)
        self.mint = Mint(random=random.Random(3))
        file = path / "lictor.db"
        self.writer = sqlite.open_writer(file, synchronous="OFF")
        self.reader = sqlite.open_reader(file)
        self.journal = Journal(self.writer, InlineExecutor())
        self.readers = Readers(self.reader, [])
        self.queue = TaskQueue(self.journal, self.readers, self.mint, self.settings)
        self.services = cast(
            Services,
            SimpleNamespace(settings=self.settings, mint=self.mint, task_queue=self.queue),
        )

    async def schedule(
        self,
        name: str,
        key: str = "task",
        state: str | None = None,
        details: dict[str, Any] | None = None,
        **more: Any,
    ) -> TaskRun:
        """A new background run that waits for a task worker."""
        body = msgspec.convert(
            {
                "task_key": key,
                "dynamic_key": name,
                "name": name,
                "state": {
                    "type": "SCHEDULED",
                    "name": state,
                    "state_details": {"deferred": True, **(details or {})},
                },
                **more,
            },
            TaskRunCreate,
        )
        run, is_new = await self.journal.write(
            lambda tx: task_runs.create(tx, body, self.mint, self.settings)
        )
        assert is_new
        return run

    async def set_state(self, id_: str, type_: str, *, deferred: bool = False) -> str:
        """Propose a state; the verdict."""
        body = msgspec.convert(
            {"state": {"type": type_, "state_details": {"deferred": deferred}}, "force": True},
            SetState,
        )
        result, _ = await self.journal.write(
            lambda tx: task_runs.set_state(tx, id_, body, self.mint, self.settings)
        )
        return result.status

    async def begin(self, id_: str) -> None:
        """What a worker reports first about a run it has taken up."""
        assert await self.set_state(id_, "PENDING") == "ACCEPT"

    async def write(self, job: Job[Any]) -> Any:
        return await self.journal.write(job)

    def rows(self) -> list[tuple[str, int, bool]]:
        """Name, lane and whether it is held, of every run in the queue."""
        return [
            (name, lane, holder is not None)
            for name, lane, holder in self.readers.inline(
                lambda tx: tx.all(
                    "SELECT r.name, q.lane, q.holder FROM task_queue q"
                    " JOIN task_run r ON r.id = q.task_run_id ORDER BY q.seq"
                )
            )
        ]

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@asynccontextmanager
async def running(path: Path, **settings: Any) -> AsyncIterator[World]:
    """A world from its start to its orderly stop."""
    world = World(path, **settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.journal.run)
        await nursery.start(world.queue.run)
        yield world
        world.queue.close()
        await wait_all_tasks_blocked()
        world.journal.close()
    world.close()


def message_of(frame: bytes) -> dict[str, Any]:
    """The message in a text frame."""
    offset = {126: 4, 127: 10}.get(frame[1], 2)
    decoded: dict[str, Any] = msgspec.json.decode(frame[offset:])
    return decoded


async def taken(subscription: Subscription) -> dict[str, Any]:
    """The run that `subscription` is given next."""
    with trio.fail_after(PATIENCE_S):
        run: dict[str, Any] = msgspec.json.decode(await subscription.take())
    return run


async def nothing(subscription: Subscription) -> bool:
    """Whether there is nothing for `subscription` once everybody has done what there is to do."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscription.take)
        await wait_all_tasks_blocked()
        is_waiting = len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
    return is_waiting


async def names(world: World, *keys: str, count: int) -> list[str]:
    """The names of the next `count` runs that a worker takes and acknowledges."""
    found = []
    with world.queue.subscribe(keys, "w") as subscription:
        for _ in range(count):
            found.append((await taken(subscription))["name"])
            subscription.acknowledge()
        assert await nothing(subscription)
    return found


class WorkerSocket:
    """A `Socket` whose messages are put in by `say`; what it was sent is in `runs`."""

    def __init__(self, *, legacy: bool = True) -> None:
        self.path = "/api/task_runs/subscriptions/scheduled"
        self.query = b""
        self.headers: list[Header] = []
        self.subprotocols: tuple[str, ...] = () if legacy else ("prefect",)
        self.peer: str | None = None
        self.sent: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.is_broken = False
        self._give, self._take = trio.open_memory_channel[list[Frame]](100)

    def say(self, *messages: Any) -> None:
        """Let messages arrive together: frames as they are, anything else as JSON."""
        self._give.send_nowait(
            [
                message if isinstance(message, Frame) else Text(msgspec.json.encode(message))
                for message in messages
            ]
        )

    def leave(self) -> None:
        self._give.close()

    @property
    def runs(self) -> list[str]:
        """The names of the runs it was sent."""
        return [message["name"] for message in self.sent if "task_key" in message]

    async def accept(self, subprotocol: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def reject(self, status: int = 403) -> None:
        self.closed = status, ""

    async def receive(self) -> list[Frame]:
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            raise Disconnected from None

    async def send(self, frames: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_broken:
            raise Disconnected
        self.sent.append(message_of(frames))

    async def pong(self, payload: bytes) -> None:
        self.pongs.append(payload)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = code, reason
        self._give.close()
