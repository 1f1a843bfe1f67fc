"""Runs missed during downtime, a suspension or a leap of the clock: what the label says of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import trio
from scheduling_world import SchedulingWorld
from trio.testing import MockClock

from lictor.actors.catch_up import GAP_S, LOOK_S, WAIT_S, CatchUp
from lictor.config.settings import Settings
from lictor.schema.commands import catch_up
from lictor.schema.commands.catch_up import Missed
from lictor.schema.errors import Unavailable
from lictor.schema.times import EARLIEST, Timestamp, parse, shift

SOON_S = 1.0
HOUR_S = 3600.0
HOURLY = {"cron": "0 * * * *"}
MINUTELY = {"interval": "PT1M", "anchor_date": "2020-01-01T00:00:00Z"}
LATEST = {"lictor.catch-up": "latest"}
NONE = {"lictor.catch-up": "none"}


def overdue(world: SchedulingWorld, since: Timestamp = EARLIEST) -> list[tuple[Any, ...]]:
    """(deployment, state, how many) of the runs whose time has passed, but not before `since`."""
    sql = (
        "SELECT d.name, fr.state_name, count(*) FROM flow_run fr JOIN deployment d"
        " ON d.id = fr.deployment_id WHERE fr.expected_start_time BETWEEN ? AND ?"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return world.rows(sql, since, world.mint.now())


async def deploy_two(world: SchedulingWorld, labels: Mapping[str, object] = LATEST) -> None:
    await world.deploy(HOURLY, labels=labels)
    await world.deploy(HOURLY, name="e")
    await trio.sleep(SOON_S)


async def test_after_downtime_the_label_says_which_missed_runs_are_skipped(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world)
    await trio.sleep(4 * HOUR_S)
    async with world.scheduling():
        await trio.sleep(SOON_S)
    assert overdue(world) == [("d", "Scheduled", 1), ("d", "Skipped", 2), ("e", "Scheduled", 3)]


async def test_after_a_suspension_it_says_so_as_well(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world)
        world.offset_s = 4 * HOUR_S
        await trio.sleep(LOOK_S + SOON_S)
        assert overdue(world) == [("d", "Scheduled", 1), ("d", "Skipped", 2), ("e", "Scheduled", 3)]
        messages = world.rows("SELECT DISTINCT message FROM flow_run_state WHERE name = 'Skipped'")
        assert messages == [
            ("Missed while the server was not running, and skipped as the label lictor.catch-up"
             " asks.",)
        ]  # fmt: skip


async def test_a_poll_that_comes_first_waits_until_missed_runs_are_skipped(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world, NONE)
        world.offset_s = 4 * HOUR_S
        before = trio.current_time()
        await world.catch_up.settled()
        assert trio.current_time() == before
        assert overdue(world) == [("d", "Skipped", 3), ("e", "Scheduled", 3)]


async def test_a_run_that_waited_before_the_suspension_was_not_missed(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world, NONE)
        await trio.sleep(HOUR_S + LOOK_S)
        world.offset_s = HOUR_S
        await trio.sleep(LOOK_S + SOON_S)
        assert overdue(world) == [("d", "Scheduled", 1), ("d", "Skipped", 1), ("e", "Scheduled", 2)]


async def test_time_that_passes_is_not_missed(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy(MINUTELY, labels=NONE)
        await trio.sleep(1000)
        assert overdue(world) == [("d", "Scheduled", 16)]


@pytest.mark.parametrize("leap_s", [-HOUR_S, GAP_S - LOOK_S - SOON_S])
async def test_a_clock_that_is_put_right_misses_nothing(
    world: SchedulingWorld, autojump_clock: MockClock, leap_s: float
) -> None:
    async with world.scheduling():
        await world.deploy(MINUTELY, labels=NONE)
        await trio.sleep(600)
        world.offset_s = leap_s
        await trio.sleep(GAP_S - LOOK_S - SOON_S)
        world.offset_s = 0
        await trio.sleep(600)
        world.offset_s = leap_s
        await trio.sleep(2 * HOUR_S)
    assert {state for _, state, _ in overdue(world)} == {"Scheduled"}


async def test_what_a_clock_that_was_behind_leaps_over_is_missed(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world, NONE)
        seen = world.mint.now()
        world.offset_s = -6 * HOUR_S
        await trio.sleep(2 * HOUR_S + LOOK_S)
        world.offset_s = 0.0
        await trio.sleep(LOOK_S + SOON_S)
        assert overdue(world, seen) == [("d", "Skipped", 2), ("e", "Scheduled", 2)]


async def test_a_label_with_a_number_past_all_bounds_holds_up_no_poll(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world, {"lictor.catch-up": 10**400})
        world.offset_s = 4 * HOUR_S
        await world.catch_up.settled()
        assert overdue(world) == [("d", "Scheduled", 3), ("e", "Scheduled", 3)]


async def test_a_run_that_cannot_be_skipped_is_left_and_holds_up_nothing(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    refuse = (
        "CREATE TRIGGER stuck BEFORE UPDATE ON flow_run WHEN NEW.state_type = 'CANCELLED'"
        " AND OLD.expected_start_time LIKE '%T10:00%' BEGIN SELECT RAISE(ABORT, 'stuck'); END"
    )
    async with world.scheduling():
        await deploy_two(world, NONE)
        await world.journal.write(lambda tx: tx.run(refuse))
        world.offset_s = 4 * HOUR_S
        await world.catch_up.settled()
        assert overdue(world)[:2] == [("d", "Scheduled", 1), ("d", "Skipped", 2)]


async def test_a_run_that_is_put_off_before_it_is_skipped_will_run(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await deploy_two(world, NONE)
    missed = Missed(EARLIEST, shift(world.mint.now(), 4 * HOUR_S))
    first, second, *_ = world.readers.inline(lambda tx: catch_up.unwanted(tx, missed))
    put_off = "UPDATE flow_run SET next_scheduled_start_time = ? WHERE id = ?"
    await world.journal.write(lambda tx: tx.run(put_off, (missed.before, first)))
    skip = partial(catch_up.skip, missed=missed, clock=world.clock)
    assert not await world.journal.write(partial(skip, run_id=first))
    assert await world.journal.write(partial(skip, run_id=second))


async def test_a_poll_that_waits_while_more_is_missed_waits_for_all_of_it(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    actor = CatchUp(world.journal, world.readers, world.mint, world.settings)
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.settled)
        await trio.sleep(SOON_S)
        world.offset_s = HOUR_S
        nursery.start_soon(actor.settled)
        await trio.sleep(SOON_S)
        nursery.start_soon(actor.run)
        await trio.sleep(SOON_S)
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
    assert trio.current_time() - before < WAIT_S


async def test_a_poll_does_not_wait_without_end(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    actor = CatchUp(world.journal, world.readers, world.mint, world.settings)
    before = parse(world.mint.now())
    with pytest.raises(Unavailable, match="being skipped"):
        await actor.settled()
    assert (parse(world.mint.now()) - before).total_seconds() == WAIT_S


async def test_without_a_scheduler_nothing_is_skipped_and_nobody_waits(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    settings = Settings(home=world.settings.home, scheduler_enabled=False)
    actor = CatchUp(world.journal, world.readers, world.mint, settings)
    await actor.run()
    world.offset_s = HOUR_S
    await actor.settled()
