"""The hottest writes, through the real journal and the real commands, and what they promise."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import apsw
import trio
import trio.testing

from crash.disk import Disk
from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import Journal
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import flow_runs, record_events
from lictor.schema.errors import Refused, Unavailable
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import logs
from lictor.schema.wire.flow_runs import FlowRunCreate
from lictor.schema.wire.logs import LogCreate
from lictor.schema.wire.states import SetState, StateBody

T = TypeVar("T")
Job = Callable[[Tx], list[tuple[str, str]]]
"""Returns what its acknowledgement promises: pairs of a kind (run, state, event, line) and id."""

FLOW_ID = "0190a000-0000-7000-8000-000000000001"
LINES_IN_BATCH = 12
EVENTS_IN_BATCH = 4
NOW = "2026-11-21T12:00:00.000000Z"


class GatheringExecutor(InlineExecutor):
    """Holds the journal until `gate` is set, so that what was sent together is one group."""

    def __init__(self) -> None:
        self.gate = trio.Event()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await self.gate.wait()
        return await super().run(function)


class Workload:
    """Makes jobs from a seed: the same seed, the same ids, moments and jobs."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        clock = iter(range(1_790_000_000_000_000_000 + seed * 10**12, 2**62, 1_000_003))
        self.mint = Mint(lambda: next(clock), random.Random(seed))
        self.settings = Settings()
        self.runs: list[str] = []
        self._batches = 0

    def prepare(self, tx: Tx, runs: int) -> None:
        """A flow, and runs to work with."""
        tx.run(
            "INSERT INTO flow (id, created, updated, name, tags, labels)"
            " VALUES (?, ?, ?, 'hello', '[]', '{}')",
            (FLOW_ID, NOW, NOW),
        )
        for _ in range(runs):
            self.create()(tx)

    def create(self) -> Job:
        body = FlowRunCreate(flow_id=UUID(FLOW_ID), tags=["crash", "test"])

        def job(tx: Tx) -> list[tuple[str, str]]:
            run, _ = flow_runs.create(tx, body, None, self.mint, self.settings)
            self.runs.append(run.id)
            state_id = tx.one("SELECT state_id FROM flow_run WHERE id = ?", (run.id,))
            assert state_id is not None
            return [("run", run.id), ("state", state_id[0]), ("event", state_id[0])]

        return job

    def refused(self) -> Job:
        """A creation that fails after others of its group have written."""
        body = FlowRunCreate(flow_id=UUID(int=self.chance.getrandbits(128)))

        def job(tx: Tx) -> list[tuple[str, str]]:
            self.create()(tx)
            self.runs.pop()
            flow_runs.create(tx, body, None, self.mint, self.settings)
            raise AssertionError("a run of an unknown flow was created")

        return job

    def set_state(self) -> Job:
        id_ = self.chance.choice(self.runs)
        type_: Any = self.chance.choice(["PENDING", "RUNNING", "SCHEDULED", "FAILED"])
        body = SetState(state=StateBody(type=type_, message="x" * self.chance.randrange(200)))
        body.force = True

        def job(tx: Tx) -> list[tuple[str, str]]:
            result, written = flow_runs.set_state(tx, id_, body, self.mint, self.settings)
            assert written
            assert result.state is not None
            return [("state", result.state.id), ("event", result.state.id)]

        return job

    def events(self) -> Job:
        """A batch of task-run events, which the recorder makes task runs of."""
        self._batches += 1
        flow_run_id = self.chance.choice(self.runs)
        events = [
            _task_run_event(self.mint, flow_run_id, f"{self._batches}-{index}", self._batches)
            for index in range(EVENTS_IN_BATCH)
        ]

        def job(tx: Tx) -> list[tuple[str, str]]:
            record_events.store(tx, events, self.mint)
            return [("event", event.id) for event in events]

        return job

    def lines(self) -> Job:
        self._batches += 1
        batch = f"batch {self._batches}"
        run = UUID(self.chance.choice(self.runs))
        lines = [
            LogCreate(batch, 20, f"{batch} line {index}", datetime.now(UTC), run)
            for index in range(LINES_IN_BATCH)
        ]

        def job(tx: Tx) -> list[tuple[str, str]]:
            logs.insert(tx, lines, self.mint)
            return [("line", line.message) for line in lines]

        return job


def _task_run_event(mint: Mint, flow_run_id: str, key: str, batch: int) -> Event:
    now = mint.now()
    return Event(
        occurred=now,
        event="prefect.task-run.Running",
        resource={
            "prefect.resource.id": f"prefect.task-run.{mint.id()}",
            "prefect.resource.name": f"task {key}",
            "prefect.orchestration": "client",
        },
        related=[
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run_id}",
                "prefect.resource.role": "flow-run",
            }
        ],
        payload={
            "batch": batch,
            "validated_state": {"type": "RUNNING", "name": "Running"},
            "task_run": {"task_key": f"task-{key}", "dynamic_key": "0", "name": f"task {key}"},
        },
        id=mint.id(),
        follows=None,
        received=now,
    )


async def write_all(
    connection: apsw.Connection,
    groups: list[list[Job]],
    disk: Disk,
    after_group: Callable[[int, list[object]], None] = lambda _number, _answers: None,
    checkpoint_every: int = 3,
) -> None:
    """Have each group written by a journal of its own making; mark what was acknowledged.

    The first job of each group is alone in its commit, the others share one. `after_group` is told
    the answers; between groups the log is moved into the file now and then.
    """
    executor = GatheringExecutor()
    journal = Journal(connection, executor)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        for number, group in enumerate(groups):
            executor.gate = trio.Event()
            answers: list[object] = []
            async with trio.open_nursery() as callers:
                for job in group:
                    callers.start_soon(_call, journal, job, disk, answers)
                    await trio.testing.wait_all_tasks_blocked()
                executor.gate.set()
            after_group(number, answers)
            if number % checkpoint_every == checkpoint_every - 1:
                mode = "restart" if number % 2 else "passive"
                await journal.between_groups(partial(sqlite.checkpoint, mode=mode))
        journal.close()


async def _call(journal: Journal, job: Job, disk: Disk, answers: list[object]) -> None:
    try:
        promised = await journal.write(job)
    except (Refused, Unavailable) as error:
        answers.append(error)
    else:
        answers.append(promised)
        disk.mark(promised)


class Broken(AssertionError):
    """The file breaks a promise."""


def check(connection: apsw.Connection, acknowledged: list[object]) -> None:
    """The file is sound, nothing in it is half there, and nothing acknowledged is missing.

    Raises:
        Broken: with what is wrong.
    """
    _expect_none(connection, "PRAGMA foreign_key_check", "references lead to nothing")
    if connection.pragma("integrity_check") != "ok":
        raise Broken("the file is corrupt")
    for sql, wrong in HALF_THERE.items():
        _expect_none(connection, sql, wrong)
    promised: dict[str, set[str]] = {"run": set(), "state": set(), "event": set(), "line": set()}
    for mark in acknowledged:
        assert isinstance(mark, list)
        for kind, id_ in mark:
            promised[kind].add(id_.replace("-", "") if kind == "event" else id_)
    for kind, ids in promised.items():
        if ids:
            missing = ids - {value for (value,) in connection.execute(PRESENT[kind])}
            if missing:
                raise Broken(f"{len(missing)} acknowledged of kind {kind} are missing: {missing}")


def _expect_none(connection: apsw.Connection, sql: str, wrong: str) -> None:
    rows = connection.execute(sql).fetchall()[:3]
    if rows:
        raise Broken(f"{wrong}: {rows}")


PRESENT = {
    "run": "SELECT id FROM flow_run",
    "state": "SELECT id FROM flow_run_state",
    "event": "SELECT lower(hex(id)) FROM event",
    "line": "SELECT message FROM log",
}
_EVENTS_OF_STATES = "(SELECT unhex(replace(id, '-', '')) FROM flow_run_state)"
HALF_THERE = {
    "SELECT r.id FROM flow_run r LEFT JOIN flow_run_state s"
    " ON s.id = r.state_id AND s.flow_run_id = r.id AND s.type = r.state_type"
    " WHERE s.id IS NULL": "runs without their state",
    "SELECT s.id FROM flow_run_state s WHERE unhex(replace(s.id, '-', ''))"
    " NOT IN (SELECT id FROM event)": "states without their event",
    "SELECT hex(e.id) FROM event e JOIN event_name n ON n.key = e.name"
    " WHERE n.name LIKE 'prefect.flow-run.%'"
    f" AND e.id NOT IN {_EVENTS_OF_STATES}": "events without a state",
    "SELECT id FROM flow_run WHERE seq NOT IN"
    " (SELECT seq FROM flow_run_tag GROUP BY seq HAVING count(*) = 2)": "runs without their tags",
    "SELECT max(s.timestamp) AS newest, r.state_timestamp, r.id FROM flow_run r"
    " JOIN flow_run_state s ON s.flow_run_id = r.id GROUP BY r.id"
    " HAVING newest <> r.state_timestamp": "states newer than their run",
    "SELECT hex(id) FROM event WHERE seq NOT IN"
    " (SELECT seq FROM event_involved)": "events that no resource knows",
    "SELECT t.id FROM task_run t LEFT JOIN task_run_state s"
    " ON s.id = t.state_id AND s.task_run_id = t.id WHERE s.id IS NULL": "task runs without state",
    "SELECT count(*) AS n FROM task_run HAVING n <> (SELECT count(*) FROM event e"
    " JOIN event_name n ON n.key = e.name WHERE n.name LIKE 'prefect.task-run.%')": (
        "task runs and their events differ in number"
    ),
    f"SELECT count(*) AS n FROM task_run HAVING n % {EVENTS_IN_BATCH} <> 0": "half a batch",
    "SELECT n.name FROM log l JOIN log_name n ON n.key = l.name GROUP BY l.name"
    f" HAVING count(*) <> {LINES_IN_BATCH}": "half a batch of lines",
    "SELECT next FROM log_sequence WHERE next <> (SELECT max(seq) + 1 FROM log)": (
        "the sequence of lines is not where it should be"
    ),
}
