"""An event hub on a real journal and real readers, and sockets that are lists."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
import trio

from lictor.actors.events import EventHub
from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.http import Header
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Frame, Ping, Text
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema import times
from lictor.schema.backends import sqlite
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import events

T = TypeVar("T")
WALL_NS = 1_795_262_400_000_000_000
NOW = "2026-11-21T12:00:00.000000Z"


class GatedExecutor(InlineExecutor):
    """Runs inline, but only while `gate` is set. Counts its calls."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.gate.set()
        self.calls = 0

    def hold(self) -> None:
        self.gate = trio.Event()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await self.gate.wait()
        self.calls += 1
        return await super().run(function, on_cancel)


def event(number: int, **changes: Any) -> Event:
    """An event of its own id, which occurred a minute ago; later ones a microsecond later."""
    made = Event(
        occurred=times.shift(NOW, -60 + number / 1e6),
        event="thing.happened",
        resource={"prefect.resource.id": "thing.1"},
        related=[],
        payload={"n": number},
        id=str(UUID(int=number + 1)),
        follows=None,
        received=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def body(number: int, **changes: Any) -> bytes:
    """The JSON of such an event, as a client sends it."""
    return msgspec.json.encode(event(number, **changes))


class World:
    """Everything the hub needs, and the hub."""

    def __init__(self, path: Path) -> None:
        self.settings = Settings(home=path)
        self.mint = Mint(wall_ns=lambda: WALL_NS, random=random.Random(3))
        file = path / "lictor.db"
        self.writer = sqlite.open_writer(file, synchronous="OFF")
        self.loop_reader, self.thread_reader = sqlite.open_reader(file), sqlite.open_reader(file)
        self.executor = GatedExecutor()
        self.journal = Journal(self.writer, self.executor)
        self.readers = Readers(self.loop_reader, [(self.thread_reader, InlineExecutor())])
        self.hub = self.new_hub()
        self.services = Services(
            settings=self.settings,
            mint=self.mint,
            journal=self.journal,
            readers=self.readers,
            orchestrator=cast(Any, None),
            hub=self.hub,
            logs=cast(Any, None),
            leases=cast(Any, None),
            task_queue=cast(Any, None),
            worker_channels=cast(Any, None),
            cleanup_queue=cast(Any, None),
            catch_up=cast(Any, None),
        )

    def new_hub(self, **limits: int) -> EventHub:
        newest = self.readers.inline(events.newest_seq)
        return EventHub(self.journal, self.readers, self.mint, self.settings, newest, **limits)

    def stored(self) -> list[Event]:
        found = self.readers.inline(lambda tx: events.read_after(tx, 0, 10_000))
        return [item.event for item in found]

    async def store(self, *batch: Event) -> None:
        await self.hub.accept(list(batch), 1)

    def close(self) -> None:
        for connection in (self.thread_reader, self.loop_reader, self.writer):
            connection.close()


class FakeSocket:
    """A `Socket` whose frames are put in by `give`, and whose answers are lists.

    `log` has everything that was answered, in order. `writable` holds back `send` when unset.
    """

    def __init__(self, *, legacy: bool = True) -> None:
        self.path = "/api/events"
        self.query = b""
        self.headers: list[Header] = []
        self.subprotocols: tuple[str, ...] = () if legacy else ("prefect",)
        self.peer: str | None = None
        self.log: list[tuple[str, Any]] = []
        self.writable = trio.Event()
        self.writable.set()
        self._give, self._take = trio.open_memory_channel[list[Frame]](100)

    def give(self, *frames: bytes | Frame) -> None:
        """Let frames arrive together; bytes are text frames."""
        self._give.send_nowait(
            [Text(frame) if isinstance(frame, bytes) else frame for frame in frames]
        )

    def leave(self) -> None:
        self._give.close()

    async def accept(self, subprotocol: str | None = None) -> None:
        self.log.append(("accept", subprotocol))

    async def reject(self, status: int = 403) -> None:
        self.log.append(("reject", status))

    async def receive(self) -> list[Frame]:
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            raise Disconnected from None

    async def send(self, frames: bytes) -> None:
        await self.writable.wait()
        self.log.append(("send", frames))

    async def pong(self, payload: bytes) -> None:
        self.log.append(("pong", payload))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.log.append(("close", (code, reason)))
        self._give.close()

    @property
    def pongs(self) -> list[bytes]:
        return [payload for what, payload in self.log if what == "pong"]

    @property
    def closed(self) -> list[tuple[int, str]]:
        return [payload for what, payload in self.log if what == "close"]

    @property
    def messages(self) -> list[Any]:
        """Every text message sent, decoded."""
        data = b"".join(payload for what, payload in self.log if what == "send")
        found = []
        while data:
            size, at = data[1], 2
            if size == 126:
                size, at = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(data[2:10], "big"), 10
            found.append(msgspec.json.decode(data[at : at + size]))
            data = data[at + size :]
        return found

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events sent."""
        return [message["event"]["payload"]["n"] for message in self.messages]


def ping(payload: bytes = b"p") -> Ping:
    return Ping(payload)
