"""What the tests of the scheduler stand on; the wall clock starts on a Friday at 08:00 UTC."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from lictor.actors.catch_up import CatchUp
from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.actors.scheduler import Scheduler
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.commands import deployment_schedules, deployments
from lictor.schema.commands.deadlines import Clock
from lictor.schema.mint import Mint
from lictor.schema.wire.deployments import DeploymentCreate, ScheduleCreate, ScheduleUpdate

START_NS = 1_800_000_000_500_000_000
"""2027-01-15T08:00:00.5Z: nothing is due at the very beginning."""


class SchedulingWorld:
    """`offset_s` moves the wall clock alone: set it to let that clock jump."""

    def __init__(self, home: Path) -> None:
        path = home / "lictor.db"
        self._connections = [sqlite.open_writer(path, synchronous="OFF")]
        self._connections += [sqlite.open_reader(path), sqlite.open_reader(path)]
        self.offset_s = 0.0
        self.mint = Mint(wall_ns=self._wall_ns, random=random.Random(7))
        self.settings = Settings(home=home)
        self.clock = Clock(self.mint, self.settings)
        writer, loop_reader, reader = self._connections
        self.journal = Journal(writer, InlineExecutor())
        self.readers = Readers(loop_reader, [(reader, InlineExecutor())])
        self.flow_id = self.mint.id()

    def _wall_ns(self) -> int:
        return START_NS + int((trio.current_time() + self.offset_s) * 1e9)

    async def begin(self) -> None:
        sql = (
            "INSERT INTO flow (id, created, updated, name, tags, labels)"
            " VALUES (?, '', '', 'a-flow', '[]', '{}')"
        )
        await self.journal.write(lambda tx: tx.run(sql, (self.flow_id,)))

    def close(self) -> None:
        for connection in reversed(self._connections):
            connection.close()

    @asynccontextmanager
    async def scheduling(self) -> AsyncIterator[None]:
        """A server with a scheduler runs inside the block; leaving it is its end."""
        scheduler = Scheduler(self.journal, self.readers, self.clock)
        self.catch_up = CatchUp(self.journal, self.readers, self.mint, self.settings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.catch_up.run)
            nursery.start_soon(scheduler.run)
            yield
            nursery.cancel_scope.cancel()

    async def deploy(self, *schedules: dict[str, Any], **fields: Any) -> str:
        """A new deployment with these schedules; its id."""
        body = {
            "name": "d", "flow_id": self.flow_id, **fields,
            "schedules": [{"schedule": each} for each in schedules],
        }  # fmt: skip
        made, _ = await self.journal.write(
            partial(
                deployments.create,
                body=msgspec.convert(body, DeploymentCreate),
                mint=self.mint,
                settings=self.settings,
            )
        )
        return made.id

    async def add(self, deployment_id: str, schedule: dict[str, Any]) -> None:
        bodies = [msgspec.convert({"schedule": schedule}, ScheduleCreate)]
        await self.journal.write(
            lambda tx: deployment_schedules.create(tx, deployment_id, bodies, self.mint)
        )

    async def change(self, deployment_id: str, schedule_id: str, **fields: Any) -> None:
        body = msgspec.convert(fields, ScheduleUpdate)
        await self.journal.write(
            lambda tx: deployment_schedules.update(
                tx, deployment_id, schedule_id, body, self.mint
            )
        )

    async def pause(self, deployment_id: str, paused: bool) -> None:
        await self.journal.write(
            lambda tx: deployments.set_paused(tx, deployment_id, paused, self.mint)
        )

    def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return self.readers.inline(lambda tx: tx.all(sql, args))

    def schedule_ids(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT id FROM deployment_schedule ORDER BY seq")]

    def due(self) -> list[str]:
        """When the scheduled runs are due, ascending."""
        sql = (
            "SELECT next_scheduled_start_time FROM flow_run WHERE state_type = 'SCHEDULED'"
            " ORDER BY next_scheduled_start_time"
        )
        return [row[0] for row in self.rows(sql)]
