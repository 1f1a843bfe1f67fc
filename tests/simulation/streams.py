"""Clients on sockets: reporters of task-run events, and followers of events and of log lines."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import apsw
import msgspec
import trio

from lictor.actors.ingress.socket import Ping, Text
from lictor.schema import times
from lictor.schema.tables import logs
from simulation.clients import BACKOFF_S, Client
from simulation.oracles import Stream
from simulation.sockets import SimulatedSocket
from simulation.world import Gone, World

PONG_S = 30.0
EVER = {"since": "2000-01-01T00:00:00Z", "until": "9000-01-01T00:00:00Z"}


class Reporter(Client):
    """Reports states of task runs over `/events/in`; what has no pong is sent again.

    Batches carry events twice and out of order.
    """

    async def work(self) -> None:
        unconfirmed: list[dict[str, Any]] = []
        for number in range(self.chance.randint(1, 4)):
            await self.think()
            unconfirmed += self.report(number)
            self.chance.shuffle(unconfirmed)
            if self.chance.random() < 0.7:
                await self.deliver(unconfirmed)
                unconfirmed = []
        await self.deliver(unconfirmed)

    def report(self, number: int) -> list[dict[str, Any]]:
        """The events of one task run, some of them twice."""
        task_run_id, key = self.new_id(), f"{self.name} {number}"
        runs = self.world.runs
        run_id = self.chance.choice(runs) if runs else self.new_id()
        now = self.world.now()
        events = [
            self.event(task_run_id, run_id, key, type_, times.shift(now, step))
            for step, type_ in enumerate(("PENDING", "RUNNING", self.chance.choice(ENDS)))
        ]
        return events + [event for event in events if self.chance.random() < 0.2]

    def event(
        self, task_run_id: str, run_id: str, key: str, type_: str, occurred: str
    ) -> dict[str, Any]:
        return {
            "id": self.new_id(),
            "occurred": occurred,
            "event": f"prefect.task-run.{type_.capitalize()}",
            "resource": {
                "prefect.resource.id": f"prefect.task-run.{task_run_id}",
                "prefect.orchestration": "client",
            },
            "related": [
                {
                    "prefect.resource.id": f"prefect.flow-run.{run_id}",
                    "prefect.resource.role": "flow-run",
                }
            ],
            "payload": {
                "validated_state": {"type": type_},
                "task_run": {"task_key": key, "dynamic_key": "0", "name": f"reported {key}"},
            },
        }

    async def deliver(self, events: list[dict[str, Any]]) -> None:
        """Send `events` until they are confirmed, by a pong or by an answer."""
        ids = [event["id"] for event in events]
        if events and self.chance.random() < 0.3:
            status, answer = await self.ask("POST", "/events", events)
            assert status in (200, 201, 204), (status, answer)
        else:
            while events and not await self.send(events):
                await self.back_off()
        self.world.oracles.acknowledge("event", ids)

    async def send(self, events: list[dict[str, Any]]) -> bool:
        """One attempt on a connection of its own; whether the pong came."""
        try:
            socket = self.world.open_socket("/events/in")
        except Gone:
            return False
        try:
            payload = self.new_id().encode()
            frames = [Text(msgspec.json.encode(event)) for event in events]
            if self.happens(self.world.plan.vanish):
                socket.give(*frames)
                return False
            if not socket.give(*frames, Ping(payload)):
                return False
            with trio.move_on_after(PONG_S):
                _, pongs = await socket.take()
                self.world.note(self.name, "confirmed", len(events))
                return pongs == [payload]
        except trio.EndOfChannel:
            pass
        finally:
            socket.leave()
        return False


ENDS = ("COMPLETED", "FAILED", "CRASHED")


class Follower(Client):
    """Follows a stream, slowly at times; leaves, and comes back; at the end it has it all."""

    path = ""
    filters: tuple[dict[str, Any], ...] = ({},)

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.filter = self.chance.choice(self.filters)
        self.is_done = False
        self._slowness_s = self.chance.choice([0.0, 0.0, world.plan.pace_s])
        self._scope = trio.CancelScope()

    def finish(self) -> None:
        """Everything has been sent: look whether it was, and end."""
        self.is_done = True
        self._scope.cancel()

    async def work(self) -> None:
        while not self.is_done:
            try:
                socket = self.world.open_socket(self.path)
            except Gone:
                await self.back_off()
                continue
            try:
                await self._follow(socket)
            finally:
                socket.leave()
            await trio.sleep(BACKOFF_S)

    async def _follow(self, socket: SimulatedSocket) -> None:
        """One connection, from its opening to its end, and what it must have shown."""
        opening = {"type": "filter", "backfill": False, "filter": self.filter}
        socket.give(Text(msgspec.json.encode(opening)))
        await socket.is_read.wait()
        if socket.close_code is not None:
            self.world.note(self.name, "refused", socket.close_code)
            await self.back_off()
            return
        if self.world.server is None:
            return
        stream = Stream(self.name, self.newest(self.world.server.connection))
        self.world.note(self.name, "follows from", stream.since)
        is_open = await self._receive(socket, stream)
        self.world.note(self.name, "was sent", len(stream.received))
        while self.world.server is None:  # it may have gone again before this task had its turn
            await self.world.up()
        stored = self.stored(self.world.server.connection)
        stream.check(stored, to_the_end=is_open and self.is_done)

    async def _receive(self, socket: SimulatedSocket, stream: Stream) -> bool:
        """Take what is sent until it is time to leave; False when the server has left first."""
        stays_s = self.chance.expovariate(1 / (self.world.plan.pace_s * 20))
        self._scope = trio.CancelScope()
        if not self.world.is_calm:
            self._scope.deadline = trio.current_time() + stays_s
        with self._scope:
            try:
                while True:
                    messages, _ = await socket.take()
                    for message in messages:
                        stream.receive(self.identify(message))
                    if not self.world.is_calm:
                        await trio.sleep(self._slowness_s)
            except trio.EndOfChannel:
                return False
        return True

    @abstractmethod
    def identify(self, message: Any) -> str:
        """The id of what a message brings."""

    @abstractmethod
    def newest(self, connection: apsw.Connection) -> int:
        """The sequence number of the newest item."""

    @abstractmethod
    def stored(self, connection: apsw.Connection) -> list[tuple[int, str]]:
        """Sequence number and id of all that match, in commit order."""


class EventFollower(Follower):
    """Follows all events, those of one name, or those whose names begin alike."""

    path = "/events/out"
    filters = (
        {"occurred": EVER},
        {"occurred": EVER, "event": {"name": ["prefect.flow-run.Running"]}},
        {"occurred": EVER, "event": {"prefix": ["prefect.task-run."]}},
    )
    _patterns = ("%", "prefect.flow-run.Running", "prefect.task-run.%")

    def identify(self, message: Any) -> str:
        id_: str = message["event"]["id"].replace("-", "")
        self.world.oracles.seen_events[id_] = None
        return id_

    def newest(self, connection: apsw.Connection) -> int:
        newest: int = connection.execute("SELECT ifnull(max(seq), 0) FROM event").get
        return newest

    def stored(self, connection: apsw.Connection) -> list[tuple[int, str]]:
        pattern = self._patterns[self.filters.index(self.filter)]
        return connection.execute(
            "SELECT e.seq, lower(hex(e.id)) FROM event e JOIN event_name n ON n.key = e.name"
            " WHERE n.name LIKE ? ORDER BY e.seq",
            (pattern,),
        ).fetchall()


class Tail(Follower):
    """Follows all log lines."""

    path = "/logs/out"

    def identify(self, message: Any) -> str:
        id_: str = message["log"]["id"]
        return id_

    def newest(self, connection: apsw.Connection) -> int:
        newest: int = connection.execute("SELECT ifnull(max(seq), 0) FROM log").get
        return newest

    def stored(self, connection: apsw.Connection) -> list[tuple[int, str]]:
        rows = connection.execute(
            "SELECT l.seq, s.salt FROM log l, log_sequence s ORDER BY l.seq"
        ).fetchall()
        return [(seq, logs.log_id(salt, seq)) for seq, salt in rows]
