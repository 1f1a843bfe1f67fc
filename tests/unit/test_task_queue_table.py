"""The table of waiting background runs: what joins it, what leaves it, and how it is searched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import GroupTx
from lictor.schema.commands import record_events, task_runs
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import task_queue
from lictor.schema.tables.task_queue import Changes, DeferredTaskRun, Hold, Place
from lictor.schema.wire.states import SetState
from lictor.schema.wire.task_runs import TaskRun, TaskRunCreate

MINT = Mint(random=random.Random(1))
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = sqlite.open_writer(tmp_path / "lictor.db", synchronous="OFF")
    yield connection
    connection.close()


@pytest.fixture
def tx(connection: apsw.Connection) -> Iterator[GroupTx]:
    tx = GroupTx(connection)
    tx.begin()
    yield tx
    tx.rollback()


def schedule(tx: GroupTx, called: str, **state: Any) -> TaskRun:
    body = {
        "task_key": "task",
        "dynamic_key": called,
        "name": called,
        "state": {"type": "SCHEDULED", "state_details": {"deferred": True}, **state},
    }
    run, _ = task_runs.create(tx, msgspec.convert(body, TaskRunCreate), MINT, Settings())
    return run


def names(tx: GroupTx) -> list[str]:
    rows = tx.all("SELECT r.name FROM task_queue q JOIN task_run r ON r.id = q.task_run_id")
    return sorted(name for (name,) in rows)


def place(run: TaskRun) -> Place:
    assert run.state_id is not None
    return Place(run.id, run.state_id, run.task_key)


def report(run: TaskRun, name: str, occurred: str, **state: Any) -> Event:
    """What the client emits about a run that it orchestrates."""
    return Event(
        occurred=occurred,
        event=f"prefect.task-run.{name}",
        resource={
            "prefect.resource.id": f"prefect.task-run.{run.id}",
            "prefect.orchestration": "client",
        },
        related=[],
        payload={
            "validated_state": {"type": name.upper(), "name": name, **state},
            "task_run": {"task_key": run.task_key, "dynamic_key": run.dynamic_key},
        },
        id=MINT.id(),
        follows=None,
        received=occurred,
    )


def test_a_deferred_run_joins_and_says_so(tx: GroupTx) -> None:
    schedule(tx, "one")
    assert names(tx) == ["one"]
    assert tx.published == [DeferredTaskRun("task")]


@pytest.mark.parametrize(
    "state",
    [
        {"state_details": {}},
        {"state_details": {"deferred": None}},
        {"type": "PENDING", "name": "Pending"},
    ],
)
def test_any_other_run_does_not(tx: GroupTx, state: dict[str, Any]) -> None:
    schedule(tx, "one", **state)
    assert names(tx) == []
    assert tx.published == []


def test_a_run_leaves_when_its_worker_reports_that_it_is_pending(tx: GroupTx) -> None:
    run = schedule(tx, "one")
    schedule(tx, "two")
    pending = report(run, "Pending", "2199-01-01T00:00:00.000000Z")
    record_events.store(tx, [pending], MINT)
    assert names(tx) == ["two"]


def test_the_report_of_the_very_scheduling_leaves_it_where_it_is(tx: GroupTx) -> None:
    run = schedule(tx, "one")
    assert run.state is not None
    same = report(run, "Scheduled", run.state.timestamp, state_details={"deferred": True})
    same = msgspec.structs.replace(same, id=run.state.id)
    record_events.store(tx, [same], MINT)
    assert names(tx) == ["one"]
    assert task_queue.first(tx, "task", [], NOW) is not None


def test_a_report_that_comes_late_leaves_it_where_it_is(tx: GroupTx) -> None:
    run = schedule(tx, "one")
    record_events.store(tx, [report(run, "Pending", "2001-01-01T00:00:00.000000Z")], MINT)
    assert names(tx) == ["one"]


def test_a_refused_proposal_leaves_it_where_it_is(tx: GroupTx) -> None:
    run = schedule(
        tx, "one", state_details={"deferred": True, "scheduled_time": "2199-01-01T00:00:00Z"}
    )
    body = msgspec.convert({"state": {"type": "RUNNING"}}, SetState)
    result, _ = task_runs.set_state(tx, run.id, body, MINT, Settings())
    assert result.status == "WAIT"
    assert names(tx) == ["one"]


def test_what_was_held_for_an_earlier_state_is_no_longer_held(tx: GroupTx) -> None:
    run = schedule(tx, "one")
    task_queue.write(tx, Changes(held=[Hold(place(run), 1)]))
    assert task_queue.first(tx, "task", [], NOW) is None
    body = {"type": "SCHEDULED", "state_details": {"deferred": True}}
    again = msgspec.convert({"state": body, "force": True}, SetState)
    task_runs.set_state(tx, run.id, again, MINT, Settings())
    assert task_queue.write(tx, Changes(held=[Hold(place(run), 1)])) == ["task"]
    assert task_queue.first(tx, "task", [], NOW) is not None


def test_only_the_holders_that_are_named_let_go(tx: GroupTx) -> None:
    runs = [schedule(tx, name) for name in "abcd"]
    holds = [Hold(place(run), number) for number, run in enumerate(runs, 1)]
    task_queue.write(tx, Changes(held=holds))
    assert task_queue.newest_holder(tx) == 4
    assert task_queue.release(tx, 2, 3) == ["task", "task"]
    found = []
    while run := task_queue.first(tx, "task", found, NOW):
        found.append(run.id)
    assert found == [runs[1].id, runs[2].id]
    assert task_queue.newest_holder(tx) == 4


def test_the_queue_is_searched_in_its_order_and_counted_from_its_index(tx: GroupTx) -> None:
    steps: list[str] = []

    class Explaining(GroupTx):
        def one(self, sql: str, args: Any = ()) -> Any:
            if sql.startswith("SELECT"):
                plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", args)
                steps.extend(step[3] for step in plan.fetchall())
            return super().one(sql, args)

    explaining = Explaining(tx.connection)
    explaining.published = []
    run = schedule(tx, "one")
    task_queue.first(explaining, "task", [run.id], NOW)
    assert steps[0].startswith("SEARCH q USING INDEX task_queue_by_key")
    assert not [step for step in steps if "B-TREE" in step or step.startswith("SCAN q")]
    steps.clear()
    task_queue.join(explaining, place(run), task_queue.Lane.RETRY, 1)
    assert steps == [
        "SEARCH task_queue USING COVERING INDEX task_queue_by_key"
        " (task_key=? AND holder=? AND lane=?)"
    ]
    steps.clear()
    task_queue.newest_holder(explaining)
    assert steps == ["SEARCH task_queue USING COVERING INDEX task_queue_by_holder (holder>?)"]


def test_runs_scheduled_before_there_was_a_queue_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "lictor.db"
    connection = sqlite.open_writer(path, synchronous="OFF")
    tx = GroupTx(connection)
    tx.begin()
    schedule(tx, "waiting")
    schedule(tx, "retry", name="AwaitingRetry")
    schedule(tx, "not deferred", state_details={})
    schedule(tx, "begun", type="PENDING")
    tx.run("DROP TRIGGER task_queue_leave")
    tx.run("DROP TABLE task_queue")
    tx.commit()
    for number, sql in sqlite.migrations():
        if number == 7:
            connection.execute(sql).fetchall()
    rows = connection.execute(
        "SELECT r.name, q.lane FROM task_queue q JOIN task_run r ON r.id = q.task_run_id"
    )
    assert sorted(rows.fetchall()) == [("retry", 1), ("waiting", 2)]
    connection.close()
