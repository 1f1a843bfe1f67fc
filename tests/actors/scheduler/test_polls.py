"""What polls are handed: in which order, within which limits, from which indexes."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from scheduling_world import SchedulingWorld

from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.commands import flow_runs, work_pools, work_queues
from lictor.schema.tables import polls
from lictor.schema.tables.polls import Window
from lictor.schema.times import parse, shift
from lictor.schema.wire.flow_runs import FlowRunCreate
from lictor.schema.wire.work_pools import WorkPoolCreate
from lictor.schema.wire.work_queues import WorkQueueCreate


async def pool(world: SchedulingWorld) -> str:
    body = msgspec.convert({"name": "p", "type": "process"}, WorkPoolCreate)
    made = await world.journal.write(partial(work_pools.create, body=body, mint=world.mint))
    return made.id


async def queue(world: SchedulingWorld, pool_id: str, name: str, **fields: Any) -> None:
    body = msgspec.convert({"name": name, **fields}, WorkQueueCreate)
    await world.journal.write(
        lambda tx: work_queues.create(tx, pool_id, "p", body, world.mint)
    )


async def run(
    world: SchedulingWorld, name: str, queue_name: str, due_s: float, type_: str, **fields: Any
) -> None:
    details = {"scheduled_time": shift(world.mint.now(), due_s)} if type_ == "SCHEDULED" else {}
    body = {
        "flow_id": world.flow_id, "name": name,
        "state": {"type": type_, "state_details": details}, **fields,
    }  # fmt: skip
    if queue_name:
        body |= {"work_pool_name": "p", "work_queue_name": queue_name}
    job = partial(
        flow_runs.create,
        body=msgspec.convert(body, FlowRunCreate),
        created_by=None,
        mint=world.mint,
        settings=world.settings,
    )
    await world.journal.write(job)


def handed(
    world: SchedulingWorld, pool_id: str, window: Window, free: int | None = None
) -> list[str]:
    queues = world.readers.inline(lambda tx: polls.queues_of_pool(tx, pool_id, window))
    rows = polls.choose(queues, free, window.limit)
    now = parse(world.mint.now())
    return [each.name for each in world.readers.inline(lambda tx: polls.read_rows(tx, rows, now))]


async def test_queues_come_by_priority_runs_by_time_and_limits_hold(world: SchedulingWorld) -> None:
    pool_id = await pool(world)
    await queue(world, pool_id, "high", priority=1, concurrency_limit=2)
    await queue(world, pool_id, "off", is_paused=True)
    for name, queue_name, due_s in (
        ("low-late", "default", -100), ("high-1", "high", -20), ("high-0", "high", -30),
        ("high-2", "high", -10), ("high-later", "high", 500), ("never", "off", -50),
    ):  # fmt: skip
        await run(world, name, queue_name, due_s, "SCHEDULED")
    window = Window(10, before=world.mint.now())
    assert handed(world, pool_id, window) == ["high-0", "high-1", "low-late"]
    assert handed(world, pool_id, window._replace(limit=1)) == ["high-0"]
    assert handed(world, pool_id, window, free=2) == ["high-0", "high-1"]
    await run(world, "busy", "high", 0, "RUNNING")
    assert handed(world, pool_id, window) == ["high-0", "low-late"]
    assert handed(world, pool_id, window, free=-1) == []


async def test_a_poll_reads_the_head_of_an_index(world: SchedulingWorld) -> None:
    plan = world.rows(f"EXPLAIN QUERY PLAN {polls._POOL}", "", "", 1, "p")
    steps = [row[3] for row in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step or step == "SCAN r"]
    assert any("SEARCH r USING" in step and "flow_run_by_work_queue" in step for step in steps)


async def test_runs_of_deployments_come_by_time_whichever_they_are_of(
    world: SchedulingWorld,
) -> None:
    ids = [await world.deploy(name=name) for name in ("a", "b", "c")]
    dues = ((0, -30, "a-0"), (0, -10, "a-1"), (1, -20, "b-0"), (1, 60, "b-later"), (2, -40, "c"))
    for which, due_s, name in dues:
        await run(world, name, "", due_s, "SCHEDULED", deployment_id=ids[which])
    await run(world, "running", "", 0, "RUNNING", deployment_id=ids[0])
    now = parse(world.mint.now())

    def names(wanted: list[str], window: Window) -> list[str]:
        found = world.readers.inline(lambda tx: polls.of_deployments(tx, wanted, window, now))
        return [each.name for each in found]

    window = Window(10, before=world.mint.now())
    assert names(ids[:2], window) == ["a-0", "b-0", "a-1"]
    assert names([ids[1], ids[0], ids[1]], window._replace(limit=2)) == ["a-0", "b-0"]
    assert names(ids, Window(10)) == ["c", "a-0", "b-0", "a-1", "b-later"]
    assert names([], window) == []


async def test_runs_of_deployments_are_the_heads_of_an_index(world: SchedulingWorld) -> None:
    plan = world.rows(f"EXPLAIN QUERY PLAN {polls._HEADS}", "", 1, "[]")
    steps = [row[3] for row in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step or step == "SCAN r"], steps
    index = "SEARCH r USING COVERING INDEX flow_run_by_deployment_scheduled (deployment_id=? AND"
    assert any(index in step for step in steps), steps


async def test_chosen_runs_are_found_by_their_rows_and_not_sorted(world: SchedulingWorld) -> None:
    read: list[str] = []

    class Noting(SqliteTx):
        def all(self, sql: str, args: Any = ()) -> list[Any]:
            read.extend(row[3] for row in super().all(f"EXPLAIN QUERY PLAN {sql}", args))
            return super().all(sql, args)

    connection = sqlite.open_reader(world.settings.home / "lictor.db")
    polls.read_rows(Noting(connection), [1], parse(world.mint.now()))
    connection.close()
    assert "SEARCH fr USING INTEGER PRIMARY KEY (rowid=?)" in read
    assert not [step for step in read if "TEMP B-TREE" in step], read
