"""Runs missed during downtime, a suspension or a leap of the clock: what the label says of them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from scheduling_world import SchedulingWorld
from trio.testing import MockClock

from lictor.actors.catch_up import GAP_S, LOOK_S, WAIT_S, CatchUp
from lictor.config.settings import Settings
from lictor.schema.errors import Unavailable
from lictor.schema.times import parse

SOON_S = 1.0
HOUR_S = 3600.0
HOURLY = {"cron": "0 * * * *"}
MINUTELY = {"interval": "PT1M", "anchor_date": "2020-01-01T00:00:00Z"}
LATEST = {"lictor.catch-up": "latest"}
NONE = {"lictor.catch-up": "none"}


def overdue(world: SchedulingWorld) -> list[tuple[Any, ...]]:
    """(deployment, state, how many) of the runs whose time has passed."""
    sql = (
        "SELECT d.name, fr.state_name, count(*) FROM flow_run fr JOIN deployment d"
        " ON d.id = fr.deployment_id WHERE fr.expected_start_time < ?"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return world.rows(sql, world.mint.now())


async def deploy_two(world: SchedulingWorld, labels: dict[str, str] = LATEST) -> None:
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
        world.offset_s = -6 * HOUR_S
        await trio.sleep(2 * HOUR_S + LOOK_S)
        assert overdue(world) == []
        world.offset_s = 0.0
        await trio.sleep(LOOK_S + SOON_S)
        states = {(name, state) for name, state, _ in overdue(world)}
    assert states == {("d", "Skipped"), ("e", "Scheduled")}


async def test_a_poll_does_not_wait_without_end(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    catch_up = CatchUp(world.journal, world.readers, world.mint, world.settings)
    before = parse(world.mint.now())
    with pytest.raises(Unavailable, match="being skipped"):
        await catch_up.settled()
    assert (parse(world.mint.now()) - before).total_seconds() == WAIT_S


async def test_without_a_scheduler_nothing_is_skipped_and_nobody_waits(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    settings = Settings(home=world.settings.home, scheduler_enabled=False)
    catch_up = CatchUp(world.journal, world.readers, world.mint, settings)
    await catch_up.run()
    world.offset_s = HOUR_S
    await catch_up.settled()
