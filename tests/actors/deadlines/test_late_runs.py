"""Late runs: named once, at their deadline, whatever the clock does meanwhile."""

from __future__ import annotations

import pytest
import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.deadlines import BATCH, RECHECK_S, DeadlineLoop
from lictor.actors.late_runs import late_runs
from lictor.schema.backends.tx import Tx
from lictor.schema.tables.deadlines import RunsInserted

AFTER_S = 15.0
SLACK_S = 0.5
"""Looks at the index are gathered for a tenth of a second."""


def late(world: World) -> DeadlineLoop:
    return late_runs(world.journal, world.readers, world.watch, world.clock)


async def test_a_run_is_late_fifteen_seconds_after_its_time_and_not_before(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(100))
        await trio.sleep(100 + AFTER_S - SLACK_S)
        assert world.state(run_id) == "Scheduled"
        await trio.sleep(2 * SLACK_S)
        assert world.state(run_id) == "Late"


async def test_a_run_is_named_late_once_and_keeps_its_time(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(late(world).run):
        scheduled = world.in_s(-60)
        run_id = await world.run("SCHEDULED", scheduled_time=scheduled)
        await trio.sleep(10_000)
    assert world.history(run_id) == ["Scheduled", "Late"]
    row = world.readers.inline(
        lambda tx: tx.one(
            "SELECT fr.next_scheduled_start_time, fr.expected_start_time, s.state_details"
            " FROM flow_run fr JOIN flow_run_state s ON s.id = fr.state_id"
        )
    )
    assert row is not None
    assert row[0] == row[1] == scheduled
    assert f'"scheduled_time":"{scheduled}"' in row[2]


@pytest.mark.parametrize("name", ["AwaitingRetry", "Resuming", "AwaitingConcurrencySlot", "Late"])
async def test_a_run_that_waits_for_something_else_is_not_late(
    world: World, autojump_clock: MockClock, name: str
) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", name, scheduled_time=world.in_s(-60))
        await trio.sleep(1000)
    assert world.history(run_id) == [name]


async def test_a_run_that_was_taken_in_time_is_not_late(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(10))
        await trio.sleep(20)
        await world.set_state(run_id, "PENDING")
        await trio.sleep(1000)
    assert world.history(run_id) == ["Scheduled", "Pending"]


async def test_the_deadline_moves_with_the_run(world: World, autojump_clock: MockClock) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(3600))
        await trio.sleep(1)
        await world.set_state(run_id, "SCHEDULED", scheduled_time=world.in_s(30))
        await trio.sleep(30 + AFTER_S + SLACK_S)
        assert world.state(run_id) == "Late"
        other = await world.run("SCHEDULED", scheduled_time=world.in_s(30))
        await world.set_state(other, "SCHEDULED", scheduled_time=world.in_s(3600))
        await trio.sleep(1000)
        assert world.state(other) == "Scheduled"


async def test_runs_written_without_a_transition_have_deadlines_when_they_are_told_of(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("PENDING")
    moment = world.in_s(60)

    def schedule(tx: Tx) -> None:
        tx.run(
            "UPDATE flow_run SET state_type = 'SCHEDULED', state_name = 'Scheduled',"
            " next_scheduled_start_time = ? WHERE id = ?",
            (moment, run_id),
        )
        tx.publish(RunsInserted("SCHEDULED", (run_id,)))

    async with keeping(late(world).run):
        await trio.sleep(1)
        await world.write(schedule)
        await trio.sleep(60 + AFTER_S + SLACK_S)
    assert world.state(run_id) == "Late"


async def test_what_became_due_while_nobody_looked_is_late_at_the_start(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(10))
    await trio.sleep(1000)
    assert world.state(run_id) == "Scheduled"
    async with keeping(late(world).run):
        await trio.sleep(SLACK_S)
        assert world.state(run_id) == "Late"


async def test_a_clock_that_jumps_ahead_is_noticed_soon(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(7200))
        await trio.sleep(60)
        world.offset_s = 7200
        await trio.sleep(RECHECK_S + SLACK_S)
        assert world.state(run_id) == "Late"


async def test_a_clock_that_jumps_back_makes_nothing_late_before_its_time(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(late(world).run):
        run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(100))
        await trio.sleep(60)
        world.offset_s = -3600
        await trio.sleep(3600 + 50)
        assert world.state(run_id) == "Scheduled"
        await trio.sleep(30)
        assert world.state(run_id) == "Late"


async def test_many_due_at_once_are_marked_in_small_jobs(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        await world.run("SCHEDULED", scheduled_time=world.in_s(-60)) for _ in range(3 * BATCH + 1)
    ]
    jobs = 0
    write = world.journal.write

    async def counting(job: object) -> object:
        nonlocal jobs
        jobs += 1
        return await write(job)  # type: ignore[arg-type]

    monkeypatch.setattr(world.journal, "write", counting)
    assert await late(world).run_once() == len(ids)
    assert jobs == 4
    assert {world.state(each) for each in ids} == {"Late"}


async def test_runs_of_the_same_moment_are_not_passed_over(
    world: World, autojump_clock: MockClock
) -> None:
    scheduled = world.in_s(-60)
    ids = [await world.run("SCHEDULED", scheduled_time=scheduled) for _ in range(BATCH + 3)]
    await late(world).run_once()
    assert {world.state(each) for each in ids} == {"Late"}
