"""Runs whose heartbeats cease, and all that must not be taken for it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.liveness import FIRST_SILENCE_S, INTERVALS, Liveness

TIMEOUT_S = 1800.0
BEAT_S = 180.0


def liveness(world: World) -> Liveness:
    return Liveness(world.journal, world.readers, world.watch, world.clock)


async def beats(world: World, run_id: str, times: int, every_s: float = BEAT_S) -> None:
    """The first at once, nothing after the last."""
    for n in range(times):
        if n:
            await trio.sleep(every_s)
        await world.beat(run_id)


async def test_a_run_is_given_up_half_an_hour_after_its_last_heartbeat_and_once(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await beats(world, run_id, 3)
        await trio.sleep(TIMEOUT_S - 1)
        assert world.state(run_id) == "Running"
        await trio.sleep(2)
        assert world.state(run_id) == "Crashed"
        assert "No heartbeat for 1800 s" in world.message(run_id)
        await trio.sleep(80_000)
    assert world.history(run_id) == ["Running", "Crashed"]


async def test_a_run_that_goes_on_beating_is_left_alone(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await beats(world, run_id, 100)
    assert world.state(run_id) == "Running"


async def test_a_run_that_never_sent_a_heartbeat_is_never_silent(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await trio.sleep(80_000)
    assert world.state(run_id) == "Running"


async def test_one_heartbeat_alone_gives_an_hour(world: World, autojump_clock: MockClock) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await world.beat(run_id)
        await trio.sleep(FIRST_SILENCE_S - 1)
        assert world.state(run_id) == "Running"
        await trio.sleep(2)
        assert world.state(run_id) == "Crashed"


async def test_a_run_with_long_intervals_may_be_silent_for_five_of_them(
    world: World, autojump_clock: MockClock
) -> None:
    every_s = 1200.0
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await beats(world, run_id, 5, every_s)
        await trio.sleep(INTERVALS * every_s - 1)
        assert world.state(run_id) == "Running"
        await trio.sleep(2)
        assert world.state(run_id) == "Crashed"


async def test_a_run_that_is_paused_may_be_silent(world: World, autojump_clock: MockClock) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await beats(world, run_id, 3)
        await world.set_state(run_id, "PAUSED")
        await trio.sleep(80_000)
        assert world.state(run_id) == "Paused"
        await world.set_state(run_id, "RUNNING")
        await trio.sleep(80_000)
        assert world.state(run_id) == "Running", "it has not sent a heartbeat since"


async def test_a_run_that_ended_stays_as_it_ended_though_a_heartbeat_came_late(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await beats(world, run_id, 2)
        await world.set_state(run_id, "COMPLETED")
        await world.beat(run_id)
        await trio.sleep(80_000)
    assert world.history(run_id) == ["Running", "Completed"]


async def test_after_a_restart_silence_counts_anew(world: World, autojump_clock: MockClock) -> None:
    run_id = await world.run("RUNNING")
    await beats(world, run_id, 3)
    quiet_id = await world.run("RUNNING")
    await trio.sleep(80_000)
    async with keeping(liveness(world).run):
        await trio.sleep(TIMEOUT_S - 1)
        assert world.state(run_id) == "Running"
        await trio.sleep(2)
        assert world.state(run_id) == "Crashed"
        assert world.state(quiet_id) == "Running"


async def test_heartbeats_before_the_latest_start_do_not_count_after_a_restart(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("RUNNING")
    await beats(world, run_id, 3)
    await world.set_state(run_id, "PAUSED")
    await world.set_state(run_id, "RUNNING")
    async with keeping(liveness(world).run):
        await trio.sleep(80_000)
    assert world.state(run_id) == "Running"


async def test_heartbeats_after_the_clock_was_set_back_count_after_a_restart(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("RUNNING")
    world.offset_s = -3600
    await beats(world, run_id, 3)
    async with keeping(liveness(world).run):
        await trio.sleep(TIMEOUT_S + 1)
    assert world.state(run_id) == "Crashed"


async def test_a_wall_clock_that_jumps_crashes_nobody(
    world: World, autojump_clock: MockClock
) -> None:
    async with keeping(liveness(world).run):
        run_id = await world.run("RUNNING")
        await world.beat(run_id)
        world.offset_s = 1_000_000
        await trio.sleep(TIMEOUT_S - 1)
    assert world.state(run_id) == "Running"


async def test_a_heartbeat_stored_while_the_decision_waits_wins(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = liveness(world)
    run_id = await world.run("RUNNING")
    await beats(world, run_id, 2)
    await trio.sleep(TIMEOUT_S + 1)
    write = world.journal.write

    async def overtaken(job: Any) -> Any:
        monkeypatch.undo()
        await world.beat(run_id)
        return await write(job)

    monkeypatch.setattr(world.journal, "write", overtaken)
    assert await actor.run_once() == 0
    assert world.state(run_id) == "Running"
    # It was silent for longer than its usual interval; that is its interval now.
    await trio.sleep(INTERVALS * (TIMEOUT_S + 2))
    assert await actor.run_once() == 1
    assert world.state(run_id) == "Crashed"
