"""What hangs on a cancelled run follows it."""

from __future__ import annotations

import pytest
import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.cancellations import cancellation_cleanup
from lictor.actors.deadlines import DeadlineLoop
from lictor.schema.commands.deadlines import CHILDREN_MAX, CLEANUP_S

FIRST_S = 10.0


def cleanup(world: World) -> DeadlineLoop:
    return cancellation_cleanup(world.journal, world.readers, world.watch, world.clock)


def rows(world: World) -> int:
    found = world.readers.inline(lambda tx: tx.one("SELECT count(*) FROM flow_run_cleanup"))
    assert found is not None
    return int(found[0])


async def test_task_runs_of_a_cancelled_run_are_cancelled_after_ten_seconds(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        tasks = [await world.task(run_id, type_, type_) for type_ in ("RUNNING", "PENDING")]
        done = await world.task(run_id, "COMPLETED", "done")
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S - 0.5)
        assert [world.state(each, "task_run") for each in tasks] == ["Running", "Pending"]
        await trio.sleep(1)
        assert [world.state(each, "task_run") for each in tasks] == ["Cancelled"] * 2
        assert world.state(done, "task_run") == "Completed"


@pytest.mark.parametrize("type_", ["COMPLETED", "FAILED", "CRASHED"])
async def test_what_a_task_run_reports_in_time_stays(
    world: World, autojump_clock: MockClock, type_: str
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        task_id = await world.task(run_id)
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S - 1)
        await world.set_task_state(task_id, type_)
        await trio.sleep(1000)
    assert world.state(task_id, "task_run") == type_.capitalize()


async def test_a_task_run_reported_late_is_found_by_a_later_look(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S + 1)
        task_id = await world.task(run_id)
        await trio.sleep(CLEANUP_S[0])
        assert world.state(task_id, "task_run") == "Cancelled"


async def test_after_a_day_a_cancelled_run_is_looked_at_no_more(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S + sum(CLEANUP_S) - 1)
        assert rows(world) == 1
        await trio.sleep(2)
        assert rows(world) == 0


async def test_more_task_runs_than_one_transaction_takes_are_cancelled_all(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("RUNNING")
    tasks = [await world.task(run_id, key=str(n)) for n in range(2 * CHILDREN_MAX + 5)]
    async with keeping(cleanup(world).run):
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S + 1)
    assert {world.state(each, "task_run") for each in tasks} == {"Cancelled"}


async def test_subflows_follow_to_any_depth_and_their_task_runs_agree(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        task_id = await world.task(run_id)
        child_id = await world.run_with({"parent_task_run_id": task_id}, "RUNNING")
        inner_id = await world.task(child_id)
        grandchild_id = await world.run_with({"parent_task_run_id": inner_id}, "SCHEDULED")
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(3 * FIRST_S)
    assert world.state(child_id) == world.state(grandchild_id) == "Cancelled"
    assert world.state(task_id, "task_run") == world.state(inner_id, "task_run") == "Cancelled"
    assert world.message(child_id) == "The parent flow run was cancelled."


async def test_a_subflow_of_a_deployment_is_told_to_stop(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        task_id = await world.task(run_id)
        fields = {"parent_task_run_id": task_id, "deployment_id": world.mint.id()}
        child_id = await world.run_with(fields, "RUNNING")
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(FIRST_S + 0.5)
        assert world.history(child_id) == ["Running", "Cancelling"]
        await trio.sleep(1000)
    assert world.history(child_id) == ["Running", "Cancelling"], "it is told once"


async def test_a_run_that_runs_again_keeps_its_task_runs(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cleanup(world).run):
        run_id = await world.run("RUNNING")
        task_id = await world.task(run_id)
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(5)
        await world.set_state(run_id, "RUNNING")
        await trio.sleep(1000)
    assert world.state(task_id, "task_run") == "Running"
    assert rows(world) == 0


async def test_a_subflow_whose_task_run_was_deleted_still_moves(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("RUNNING")
    task_id = await world.task(run_id)
    child_id = await world.run_with({"parent_task_run_id": task_id}, "RUNNING")
    await world.write(lambda tx: tx.run("DELETE FROM flow_run WHERE id = ?", (run_id,)))
    assert (await world.set_state(child_id, "COMPLETED")).status == "ACCEPT"
