"""Worker channels on a real journal and real readers, and a worker's socket that is two lists."""

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

from lictor.actors.cleanup import CleanupQueue
from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.http import Header
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Frame, Text
from lictor.actors.ingress.sockets import workers as handler
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.actors.worker_channel import WorkerChannels
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.commands import work_pools
from lictor.schema.mint import Mint
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables import workers as worker_table
from lictor.schema.wire.work_pools import WorkPool, WorkPoolCreate, WorkPoolUpdate
from lictor.schema.wire.work_queues import WorkQueueCreate
from lictor.schema.wire.workers import Worker

START_S = 1_800_000_000
MOMENT = "2026-11-21T12:00:00Z"
FRAME_ID = "00000000-0000-4000-8000-0000000000f1"
CONSUMER = "00000000-0000-4000-8000-00000000c0de"
MESSAGE_ID = "00000000-0000-4000-8000-0000000000a1"
TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
}


def frame(type_: str, payload: Any, **more: Any) -> dict[str, Any]:
    """A frame as a worker sends it."""
    return {"type": type_, "id": FRAME_ID, "sent_at": MOMENT, "payload": payload, **more}


def hello(**payload: Any) -> dict[str, Any]:
    """A hello; a value of None leaves its key out."""
    body = {
        "consumer_id": CONSUMER,
        "worker_name": "w",
        "worker_type": "process",
        "heartbeat_interval_seconds": 30,
        "supported_channel_versions": ["work_pool_worker_channel.v1"],
        "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
        **payload,
    }
    return frame(
        "worker.hello.v1", {key: value for key, value in body.items() if value is not None}
    )


def heartbeat(**payload: Any) -> dict[str, Any]:
    body = {"consumer_id": CONSUMER, "worker_name": "w", "heartbeat_interval_seconds": 30}
    return frame("worker.heartbeat.v1", {**body, **payload})


class WorkerSocket:
    """A `Socket` whose messages are put in by `say`; what it was sent is in `sent`."""

    def __init__(self, pool: str, subprotocols: tuple[str, ...] = ("prefect",)) -> None:
        self.path = f"/api/work_pools/{pool}/workers/connect"
        self.query = b""
        self.headers: list[Header] = []
        self.subprotocols = subprotocols
        self.peer: str | None = None
        self.sent: list[dict[str, Any]] = []
        self.reads = trio.Event()
        """While it is not set, nothing that is sent arrives."""
        self.reads.set()
        self.is_broken = False
        self.pongs: list[bytes] = []
        self.rejected: int | None = None
        self.closed: tuple[int, str] | None = None
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
    def payloads(self) -> list[dict[str, Any]]:
        """What it was sent once it was authenticated."""
        return [sent["payload"] for sent in self.sent[1:]]

    @property
    def told(self) -> list[tuple[int, str]]:
        """Sequence and reason of each snapshot after the first."""
        return [
            (sent["payload"]["snapshot_sequence"], sent["payload"]["reason"])
            for sent in self.sent
            if sent["type"] == "work_pool.snapshot.v1"
        ]

    async def accept(self, subprotocol: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def reject(self, status: int = 403) -> None:
        self.rejected = status

    async def receive(self) -> list[Frame]:
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            raise Disconnected from None

    async def send(self, frames: bytes) -> None:
        await self.reads.wait()
        if self.is_broken:
            raise Disconnected
        offset = {126: 4, 127: 10}.get(frames[1], 2)
        self.sent.append(msgspec.json.decode(frames[offset:]))

    async def pong(self, payload: bytes) -> None:
        self.pongs.append(payload)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = code, reason


class World:
    """Everything a channel needs, and the pool called `pool`.

    The wall clock goes with trio's and is a microsecond later at each look; `offset_s` moves it.
    """

    def __init__(self, path: Path, nursery: trio.Nursery, **settings: Any) -> None:
        self.settings = Settings(home=path, **settings)
        self.offset_s = 0.0
        self._looks = 0
        self.mint = Mint(wall_ns=self._wall_ns, random=random.Random(3))
        file = path / "lictor.db"
        self.writer = sqlite.open_writer(file, synchronous="OFF")
        self.reader = sqlite.open_reader(file)
        self.journal = Journal(self.writer, InlineExecutor())
        self.readers = Readers(self.reader, [])
        self.channels = WorkerChannels(self.journal, self.readers)
        self.cleanup = CleanupQueue(self.journal, self.readers, self.mint, self.settings)
        self.services = cast(
            Services,
            SimpleNamespace(
                settings=self.settings,
                mint=self.mint,
                journal=self.journal,
                readers=self.readers,
                worker_channels=self.channels,
                cleanup_queue=self.cleanup,
                catch_up=cast(Any, None),
            ),
        )
        self._nursery = nursery

    def _wall_ns(self) -> int:
        self._looks += 1
        return int((START_S + trio.current_time() + self.offset_s) * 1e6 + self._looks) * 1000

    async def create(self, name: str = "pool", **body: Any) -> WorkPool:
        wanted = msgspec.convert({"name": name, "type": "process", **body}, WorkPoolCreate)
        return await self.journal.write(lambda tx: work_pools.create(tx, wanted, self.mint))

    async def change(self, name: str = "pool", **body: Any) -> None:
        wanted = msgspec.convert(body, WorkPoolUpdate)
        await self.journal.write(lambda tx: work_pools.update(tx, name, wanted, self.mint))

    async def delete(self, name: str = "pool") -> None:
        await self.journal.write(lambda tx: work_pools.delete(tx, name, self.mint))

    async def add_queue(self, name: str, pool: str = "pool") -> str:
        body = WorkQueueCreate(name=name)
        queue = await self.journal.write(
            lambda tx: work_pools.create_queue(tx, pool, body, self.mint)
        )
        return queue.id

    def pool(self, name: str = "pool") -> WorkPool:
        return self.readers.inline(lambda tx: work_pools.find(tx, name))

    def workers(self, pool: str = "pool") -> list[Worker]:
        id_ = self.pool(pool).id
        return self.readers.inline(
            lambda tx: worker_table.read_page(tx, id_, None, 10, 0, self.mint.now())
        )

    async def connect(self, pool: str = "pool", token: str | None = None) -> WorkerSocket:
        """A socket that has sent its token."""
        socket = WorkerSocket(pool)
        self._nursery.start_soon(handler.connect, socket, self.services)
        socket.say({"type": "auth", "token": token})
        await wait_all_tasks_blocked()
        return socket

    async def greeted(self, *messages: Any, pool: str = "pool") -> WorkerSocket:
        """A socket that has said `messages`, a hello if there are none."""
        socket = await self.connect(pool)
        for message in messages or (hello(),):
            socket.say(message)
            await wait_all_tasks_blocked()
        return socket

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@asynccontextmanager
async def running(path: Path, **settings: Any) -> AsyncIterator[World]:
    """A world from its start to its end; what is in `path` from before is there still."""
    async with trio.open_nursery() as nursery:
        world = World(path, nursery, **settings)
        await nursery.start(world.journal.run)
        nursery.start_soon(world.channels.run)
        nursery.start_soon(world.cleanup.run)
        if world.readers.inline(lambda tx: pool_table.id_of(tx, "pool")) is None:
            await world.create()
        yield world
        nursery.cancel_scope.cancel()
    world.close()
