"""The loop itself: what fails stops nothing else, and a refusal by the disk is not the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.deadlines import DeadlineLoop, Settling
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import deadlines as command
from lictor.schema.errors import Unavailable
from lictor.schema.tables import deadlines as table


async def test_a_run_that_cannot_be_settled_stops_no_other_and_is_logged_once(
    world: World, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [await world.run("SCHEDULED", scheduled_time=world.in_s(-60)) for _ in range(5)]
    tries: list[str] = []

    def settle(tx: Tx, id_: str) -> bool:
        changed = command.mark_late(tx, id_, world.clock)
        if id_ == ids[2]:
            tries.append(id_)
            raise ValueError("a row that nobody understands")
        return changed

    work = Settling("late runs", world.journal, settle)
    loop = DeadlineLoop("late_runs", table.LATE, 15, work, world.readers, world.mint)
    with caplog.at_level(logging.ERROR):
        async with keeping(loop.run):
            await trio.sleep(600)
    assert [world.state(each) for each in ids] == ["Late", "Late", "Scheduled", "Late", "Late"]
    assert len([each for each in caplog.records if ids[2] in each.getMessage()]) == 1
    assert 2 <= len(tries) < 60, "it is tried again now and then, not all the time"


async def test_what_the_disk_refused_is_done_when_it_accepts_again(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(-60))
    settle = Settling(
        "late runs", world.journal, lambda tx, id_: command.mark_late(tx, id_, world.clock)
    )
    refusals = 3

    async def work(ids: Sequence[str]) -> int:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Unavailable("The disk is full.", 5)
        return await settle(ids)

    loop = DeadlineLoop("late_runs", table.LATE, 15, work, world.readers, world.mint)
    async with keeping(loop.run):
        await trio.sleep(14)
        assert world.state(run_id) == "Scheduled"
        await trio.sleep(2)
        assert world.state(run_id) == "Late"


async def test_a_state_committed_between_look_and_decision_wins(
    world: World, autojump_clock: MockClock
) -> None:
    run_id = await world.run("SCHEDULED", scheduled_time=world.in_s(-60))
    settle = Settling(
        "late runs", world.journal, lambda tx, id_: command.mark_late(tx, id_, world.clock)
    )

    async def work(ids: Sequence[str]) -> int:
        await world.set_state(run_id, "CANCELLED")
        return await settle(ids)

    loop = DeadlineLoop("late_runs", table.LATE, 15, work, world.readers, world.mint)
    assert await loop.run_once() == 0
    assert world.history(run_id) == ["Scheduled", "Cancelled"]


async def test_nothing_is_read_while_nothing_happens(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run("SCHEDULED", scheduled_time=world.in_s(1_000_000))

    async def work(ids: Sequence[str]) -> int:
        raise AssertionError("nothing is due")

    reads = 0
    inline = world.readers.inline

    def counting(query: object) -> object:
        nonlocal reads
        reads += 1
        return inline(query)  # type: ignore[arg-type]

    monkeypatch.setattr(world.readers, "inline", counting)
    loop = DeadlineLoop("late_runs", table.LATE, 15, work, world.readers, world.mint)
    async with keeping(loop.run):
        await trio.sleep(80_000)
    assert reads <= 3


TERMINAL = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


@pytest.mark.parametrize("type_", TERMINAL)
async def test_no_deadline_touches_a_run_that_has_ended(
    world: World, autojump_clock: MockClock, type_: str
) -> None:
    run_id = await world.run("RUNNING")
    await world.beat(run_id)
    await world.set_state(run_id, type_)
    await trio.sleep(80_000)
    before = world.history(run_id)
    for settle in (
        command.mark_late,
        command.expire_pause,
        command.end_cancelling,
        command.end_pending,
    ):
        assert not await world.write(lambda tx, settle=settle: settle(tx, run_id, world.clock))
    assert not await world.write(
        lambda tx: command.end_silent(tx, run_id, 10_000, 1800, world.clock)
    )
    assert world.history(run_id) == before


async def test_a_run_that_is_gone_is_passed_over(world: World, autojump_clock: MockClock) -> None:
    assert not await world.write(lambda tx: command.mark_late(tx, world.mint.id(), world.clock))
