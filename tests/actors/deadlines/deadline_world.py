"""A journal, a reader and a wall clock that follows trio's; flow runs are made by the commands."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from lictor.actors.deadlines import RunWatch
from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.commands import flow_runs, record_events, task_runs
from lictor.schema.commands.deadlines import Clock
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import deadlines as table
from lictor.schema.times import Timestamp, shift
from lictor.schema.wire.flow_runs import FlowRunCreate, OrchestrationResult
from lictor.schema.wire.states import SetState
from lictor.schema.wire.task_runs import TaskRunCreate

T = TypeVar("T")
START_NS = 1_800_000_000_000_000_000


@asynccontextmanager
async def keeping(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """An actor runs inside the block; leaving it is the actor's end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield
        nursery.cancel_scope.cancel()


class World:
    """`offset_s` moves the wall clock, and it alone: set it to let that clock jump."""

    def __init__(self, home: Path, **settings: Any) -> None:
        path = home / "lictor.db"
        self._connections = [sqlite.open_writer(path, synchronous="OFF")]
        self._connections += [sqlite.open_reader(path), sqlite.open_reader(path)]
        self.offset_s = 0.0
        self.mint = Mint(wall_ns=self._wall_ns, random=random.Random(7))
        self.settings = Settings(home=home, **settings)
        self.clock = Clock(self.mint, self.settings)
        writer, loop_reader, reader = self._connections
        self.journal = Journal(writer, InlineExecutor())
        self.readers = Readers(loop_reader, [(reader, InlineExecutor())])
        self.watch = RunWatch(self.journal)
        self.flow_id = self.mint.id()

    async def begin(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.journal.run)
        await self.write(
            lambda tx: tx.run(
                "INSERT INTO flow (id, created, updated, name, tags, labels)"
                " VALUES (?, '', '', 'a-flow', '[]', '{}')",
                (self.flow_id,),
            )
        )

    def close(self) -> None:
        for connection in reversed(self._connections):
            connection.close()

    def _wall_ns(self) -> int:
        return START_NS + int((trio.current_time() + self.offset_s) * 1e9)

    async def write(self, job: Callable[[Any], T]) -> T:
        return await self.journal.write(job)

    def in_s(self, seconds: float) -> Timestamp:
        """The moment `seconds` from now, by the wall clock."""
        return shift(self.mint.now(), seconds)

    async def run(self, type_: str, name: str | None = None, **details: Any) -> str:
        """A new flow run in a state of this type; its id."""
        return await self.run_with({}, type_, name, **details)

    async def run_with(
        self, fields: dict[str, Any], type_: str, name: str | None = None, **details: Any
    ) -> str:
        state = {"type": type_, "name": name, "state_details": details}
        body = {"flow_id": self.flow_id, "state": state, **fields}
        job = partial(
            flow_runs.create,
            body=msgspec.convert(body, FlowRunCreate),
            created_by=None,
            mint=self.mint,
            settings=self.settings,
        )
        created, _ = await self.write(job)
        return created.id

    async def task(self, flow_run_id: str, type_: str = "RUNNING", key: str = "0") -> str:
        """A new task run in a state of this type; its id."""
        body = {"flow_run_id": flow_run_id, "task_key": "t", "dynamic_key": key,
                "state": {"type": type_}}  # fmt: skip
        job = partial(
            task_runs.create,
            body=msgspec.convert(body, TaskRunCreate),
            mint=self.mint,
            settings=self.settings,
        )
        created, _ = await self.write(job)
        return created.id

    async def set_state(
        self, id_: str, type_: str, name: str | None = None, force: bool = False, **details: Any
    ) -> OrchestrationResult:
        body = {"state": {"type": type_, "name": name, "state_details": details}, "force": force}
        job = partial(
            flow_runs.set_state,
            id_=id_,
            body=msgspec.convert(body, SetState),
            mint=self.mint,
            settings=self.settings,
        )
        result, _ = await self.write(job)
        return result

    async def set_task_state(self, id_: str, type_: str) -> None:
        job = partial(
            task_runs.set_state,
            id_=id_,
            body=msgspec.convert({"state": {"type": type_}, "force": True}, SetState),
            mint=self.mint,
            settings=self.settings,
        )
        await self.write(job)

    async def beat(self, run_id: str) -> None:
        """A heartbeat of the run arrives."""
        now = self.mint.now()
        event = Event(
            occurred=now,
            event=table.HEARTBEAT,
            resource={"prefect.resource.id": table.RUN_PREFIX + run_id},
            related=[],
            payload={},
            id=self.mint.id(),
            follows=None,
            received=now,
        )
        await self.write(partial(record_events.store, events=[event], mint=self.mint))

    def state(self, run_id: str, of: str = "flow_run") -> str:
        """The name of the state that a run is in."""
        row = self.readers.inline(
            lambda tx: tx.one(f"SELECT state_name FROM {of} WHERE id = ?", (run_id,))
        )
        assert row is not None
        return str(row[0])

    def history(self, run_id: str) -> list[str]:
        """The names of the states that a flow run has been in, oldest first."""
        return [
            row[0]
            for row in self.readers.inline(
                lambda tx: tx.all(
                    "SELECT name FROM flow_run_state WHERE flow_run_id = ? ORDER BY seq", (run_id,)
                )
            )
        ]

    def message(self, run_id: str) -> str:
        row = self.readers.inline(
            lambda tx: tx.one(
                "SELECT s.message FROM flow_run fr JOIN flow_run_state s ON s.id = fr.state_id"
                " WHERE fr.id = ?",
                (run_id,),
            )
        )
        assert row is not None
        return str(row[0])
