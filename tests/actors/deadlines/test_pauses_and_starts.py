"""Pauses that expire, runs that never start, cancellations that nobody confirms."""

from __future__ import annotations

import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.cancellations import cancelling_timeout
from lictor.actors.deadlines import RECHECK_S, DeadlineLoop
from lictor.actors.pause_expiry import pause_expiry
from lictor.actors.unstarted_runs import unstarted_runs

SLACK_S = 0.5
DAY_S = 86_400.0


def pauses(world: World) -> DeadlineLoop:
    return pause_expiry(world.journal, world.readers, world.watch, world.clock)


def starts(world: World) -> DeadlineLoop:
    return unstarted_runs(world.journal, world.readers, world.watch, world.clock)


def cancelling(world: World) -> DeadlineLoop:
    return cancelling_timeout(world.journal, world.readers, world.watch, world.clock)


async def paused(world: World, **details: object) -> str:
    run_id = await world.run("RUNNING")
    await world.set_state(run_id, "PAUSED", **details)
    return run_id


async def test_a_pause_expires_at_its_deadline_and_once(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(pauses(world).run):
        run_id = await paused(world, pause_timeout=world.in_s(50))
        await trio.sleep(50 - SLACK_S)
        assert world.state(run_id) == "Paused"
        await trio.sleep(2 * SLACK_S)
        assert world.state(run_id) == "Failed"
        await trio.sleep(1000)
    assert world.history(run_id) == ["Running", "Paused", "Failed"]
    assert world.message(run_id) == "The flow was paused and never resumed."


async def test_a_run_resumed_in_time_goes_on(world: World, autojump_clock: MockClock) -> None:
    async with keeping(pauses(world).run):
        run_id = await paused(world, pause_timeout=world.in_s(50))
        await trio.sleep(40)
        await world.set_state(run_id, "RUNNING")
        await trio.sleep(1000)
    assert world.history(run_id) == ["Running", "Paused", "Running"]


async def test_the_second_pause_of_a_run_has_a_deadline_of_its_own(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(pauses(world).run):
        run_id = await paused(world, pause_timeout=world.in_s(50))
        await world.set_state(run_id, "RUNNING")
        await world.set_state(run_id, "PAUSED", pause_timeout=world.in_s(500))
        await trio.sleep(499)
        assert world.state(run_id) == "Paused"
        await trio.sleep(2)
        assert world.state(run_id) == "Failed"


async def test_a_pause_over_a_pause_takes_its_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(pauses(world).run):
        run_id = await paused(world, pause_timeout=world.in_s(50))
        await world.set_state(run_id, "PAUSED", force=True)
        await trio.sleep(1000)
    assert world.state(run_id) == "Paused"


async def test_a_pause_without_a_deadline_never_expires(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(pauses(world).run):
        run_id = await paused(world)
        await trio.sleep(DAY_S)
    assert world.state(run_id) == "Paused"


async def test_a_run_created_in_a_pause_expires_too(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(pauses(world).run):
        run_id = await world.run("PAUSED", pause_timeout=world.in_s(50))
        await trio.sleep(51)
    assert world.state(run_id) == "Failed"


async def test_a_pause_that_expired_while_nobody_looked_is_found_at_the_start(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await paused(world, pause_timeout=world.in_s(50))
    await trio.sleep(100)
    async with keeping(pauses(world).run):
        await trio.sleep(SLACK_S)
    assert world.state(run_id) == "Failed"


async def test_a_deleted_run_leaves_no_deadline(world: World, autojump_clock: MockClock) -> None:
    run_id = await paused(world, pause_timeout=world.in_s(50))
    await world.write(lambda tx: tx.run("DELETE FROM flow_run WHERE id = ?", (run_id,)))
    assert world.readers.inline(lambda tx: tx.one("SELECT 1 FROM flow_run_pause")) is None


async def test_a_run_that_never_starts_crashes_after_a_week_and_may_start_even_then(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(starts(world).run):
        run_id = await world.run("PENDING")
        await trio.sleep(7 * DAY_S - 1)
        assert world.state(run_id) == "Pending"
        await trio.sleep(2)
        assert world.state(run_id) == "Crashed"
        assert "did not start within 604800 s" in world.message(run_id)
        assert (await world.set_state(run_id, "RUNNING")).status == "ACCEPT"
        await trio.sleep(30 * DAY_S)
    assert world.history(run_id) == ["Pending", "Crashed", "Running"]


async def test_a_step_of_a_submission_begins_the_time_anew(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(starts(world).run):
        run_id = await world.run("PENDING")
        await trio.sleep(6 * DAY_S)
        await world.set_state(run_id, "PENDING", "InfrastructurePending")
        await trio.sleep(6 * DAY_S)
        assert world.state(run_id) == "InfrastructurePending"
        await trio.sleep(DAY_S + 1)
        assert world.state(run_id) == "Crashed"


async def test_a_cancellation_that_nobody_confirms_is_done_after_five_minutes(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cancelling(world).run):
        run_id = await world.run("RUNNING")
        await world.set_state(run_id, "CANCELLING")
        await trio.sleep(300 - SLACK_S)
        assert world.state(run_id) == "Cancelling"
        await trio.sleep(2 * SLACK_S)
        assert world.state(run_id) == "Cancelled"
        assert "not confirmed within 300 s" in world.message(run_id)
        await trio.sleep(1000)
    assert world.history(run_id) == ["Running", "Cancelling", "Cancelled"]


async def test_a_run_created_cancelling_has_the_deadline_too(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cancelling(world).run):
        run_id = await world.run("CANCELLING")
        await trio.sleep(301)
    assert world.state(run_id) == "Cancelled"


async def test_a_confirmed_cancellation_is_left_alone(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cancelling(world).run):
        run_id = await world.run("RUNNING")
        await world.set_state(run_id, "CANCELLING")
        await trio.sleep(299)
        await world.set_state(run_id, "CANCELLED")
        await trio.sleep(1000)
    assert world.history(run_id) == ["Running", "Cancelling", "Cancelled"]
    assert world.message(run_id) == "None"


async def test_a_machine_that_slept_cancels_what_became_due_in_its_sleep(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(cancelling(world).run):
        run_id = await world.run("CANCELLING")
        await trio.sleep(1)
        world.offset_s = 100_000
        await trio.sleep(RECHECK_S + SLACK_S)
    assert world.state(run_id) == "Cancelled"
