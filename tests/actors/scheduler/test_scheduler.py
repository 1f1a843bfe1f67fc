"""The scheduler: runs are there a second after a schedule is, and stay far enough ahead."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import trio
from scheduling_world import SchedulingWorld
from trio.testing import MockClock

from lictor.actors.scheduler import WRITES_IN_JOB, Scheduler
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import scheduled_runs
from lictor.schema.commands.scheduled_runs import Plan
from lictor.schema.mint import Mint
from lictor.schema.times import seconds_between

SOON_S = 1.0
HOURLY = {"cron": "0 * * * *"}
MINUTELY = {"interval": "PT1M", "anchor_date": "2020-01-01T00:00:00Z"}
DAILY_NY = {"cron": "0 9 * * *", "timezone": "America/New_York"}


async def test_a_new_schedule_has_its_runs_within_a_second(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await trio.sleep(1000)
        await world.deploy(HOURLY)
        await trio.sleep(SOON_S)
        assert world.due() == [f"2027-01-15T{hour:02}:00:00.000000Z" for hour in (9, 10, 11)]


async def test_a_schedule_of_every_minute_fills_an_hour(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy(MINUTELY)
        await trio.sleep(SOON_S)
        due = world.due()
    assert len(due) == 61
    assert seconds_between(due[0], due[-1]) == 3600


async def test_runs_that_are_taken_are_followed_by_others(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy(MINUTELY)
        await trio.sleep(7200 + SOON_S)
        due = world.due()
    assert seconds_between(world.mint.now(), due[-1]) >= 3600 - 60
    assert {seconds_between(a, b) for a, b in pairwise(due)} == {60.0}


async def test_a_schedule_of_every_second_comes_to_reach_an_hour_ahead(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy({"interval": "PT1S", "anchor_date": "2020-01-01T00:00:00Z"})
        await trio.sleep(SOON_S)
        assert len(world.due()) == 100
        await trio.sleep(600)
        due = world.due()
    assert due[-1] > world.mint.now()
    assert len(due) == len(set(due))


async def test_the_key_and_the_creator_of_a_run_are_prefects(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        id_ = await world.deploy(DAILY_NY, tags=["nightly"])
        await trio.sleep(SOON_S)
    [schedule_id] = world.schedule_ids()
    sql = (
        "SELECT idempotency_key, tags, auto_scheduled, created_by FROM flow_run"
        " ORDER BY next_scheduled_start_time LIMIT 1"
    )
    [(key, tags, auto, created_by)] = world.rows(sql)
    assert key == f"scheduled {id_} {schedule_id} 2027-01-15 09:00:00-05:00"
    assert (tags, auto) == ('["auto-scheduled","nightly"]', 1)
    assert created_by == (
        f'{{"id":"{schedule_id}","type":"SCHEDULE","display_value":"CronSchedule"}}'
    )
    sql = (
        "SELECT count(*) FROM event WHERE name IN"
        " (SELECT key FROM event_name WHERE name LIKE '%flow-run%')"
    )
    assert world.rows(sql) == [(0,)]


async def test_pausing_takes_the_runs_away_and_resuming_brings_them_back(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        id_ = await world.deploy(HOURLY)
        await trio.sleep(SOON_S)
        await world.pause(id_, True)
        await trio.sleep(10_000)
        assert world.due() == []
        await world.pause(id_, False)
        await trio.sleep(SOON_S)
        assert len(world.due()) == 3


async def test_a_changed_schedule_has_its_new_runs_and_its_siblings_keep_theirs(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await trio.sleep(SOON_S)
        id_ = await world.deploy(HOURLY, {"cron": "30 * * * *"})
        await trio.sleep(SOON_S)
        first = world.schedule_ids()[0]
        await world.change(id_, first, schedule={"cron": "15 * * * *"})
        await trio.sleep(SOON_S)
        assert sorted({moment[14:16] for moment in world.due()}) == ["15", "30"]
        await world.change(id_, first, active=False)
        await trio.sleep(SOON_S)
        assert {moment[14:16] for moment in world.due()} == {"30"}


async def test_a_schedule_without_dates_in_reach_is_not_looked_at_without_end(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy({"rrule": "DTSTART:20200101T000000\nFREQ=DAILY;COUNT=3"})
        await trio.sleep(SOON_S)
        [(due,)] = world.rows("SELECT due FROM schedule_horizon")
    assert world.due() == []
    assert seconds_between(world.mint.now(), due) > 3600


async def test_after_a_restart_no_run_is_made_twice_and_a_change_before_it_is_kept(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    await world.deploy(HOURLY)
    assert world.due() == []
    async with world.scheduling():
        await trio.sleep(SOON_S)
    before = world.due()
    await trio.sleep(3 * 3600)
    async with world.scheduling():
        await trio.sleep(SOON_S)
    after = world.due()
    assert after[:3] == before
    assert len(after) == 6
    assert len(set(after)) == 6


async def test_a_clock_that_jumps_ahead_is_noticed(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        await world.deploy(HOURLY)
        await trio.sleep(SOON_S)
        world.offset_s = 86_400.0
        await trio.sleep(60)
        assert [moment for moment in world.due() if moment > world.mint.now()] == [
            f"2027-01-16T{hour:02}:00:00.000000Z" for hour in (9, 10, 11)
        ]


async def test_a_clock_that_was_ahead_and_is_put_right_leaves_no_hole(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    world.offset_s = 86_400.0
    async with world.scheduling():
        await world.deploy(HOURLY)
        await trio.sleep(100)
        world.offset_s = 0.0
        await trio.sleep(60)
        right = [f"2027-01-15T{hour:02}:00:00.000000Z" for hour in (9, 10, 11)]
        assert world.due()[:3] == right


async def test_a_clock_that_is_put_right_while_the_server_is_down_leaves_no_hole(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    world.offset_s = 86_400.0
    async with world.scheduling():
        await world.deploy(HOURLY)
        await trio.sleep(100)
    world.offset_s = 0.0
    async with world.scheduling():
        await trio.sleep(SOON_S)
        right = [f"2027-01-15T{hour:02}:00:00.000000Z" for hour in (9, 10, 11)]
        assert world.due()[:3] == right


async def test_many_schedules_and_many_runs_are_stored_in_small_jobs(
    world: SchedulingWorld, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    store = scheduled_runs.store

    def counted(tx: Tx, plan: Plan, mint: Mint) -> int:
        made[-1] += 1 + len(plan.dates)
        return store(tx, plan, mint)

    def job(scheduler: Scheduler, plans: Sequence[Plan], tx: Tx) -> None:
        made.append(0)
        for plan in plans:
            scheduled_runs.store(tx, plan, world.mint)

    monkeypatch.setattr(scheduled_runs, "store", counted)
    monkeypatch.setattr(Scheduler, "_store", job)
    await world.deploy(*[MINUTELY] * 3, *[HOURLY] * 20)
    async with world.scheduling():
        await trio.sleep(SOON_S)
    assert len(world.due()) == 3 * 61 + 20 * 3
    assert max(made) <= WRITES_IN_JOB
    assert sum(made) / len(made) > WRITES_IN_JOB / 2
    assert world.rows("SELECT count(*) FROM schedule_horizon WHERE due < '1000'") == [(0,)]


async def test_a_plan_that_was_cut_off_is_made_whole_and_no_run_twice(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    await world.deploy(MINUTELY)
    [id_] = world.schedule_ids()
    source = world.readers.inline(lambda tx: scheduled_runs.read(tx, id_))
    assert source is not None
    plan = scheduled_runs.plan(source, world.mint.now(), world.settings)
    first, *rest = scheduled_runs.jobs([plan], WRITES_IN_JOB)
    assert len(rest) == 2
    await world.journal.write(lambda tx: scheduled_runs.store(tx, first[0], world.mint))
    assert len(world.due()) == WRITES_IN_JOB - 1
    async with world.scheduling():
        await trio.sleep(SOON_S)
    assert len(world.due()) == 61


async def test_a_run_taken_early_has_no_twin_when_its_schedule_moves_to_another_zone(
    world: SchedulingWorld, autojump_clock: MockClock
) -> None:
    async with world.scheduling():
        id_ = await world.deploy({"cron": "0 * * * *", "timezone": "UTC"})
        await trio.sleep(SOON_S)
        early = world.due()[0]
        await world.journal.write(
            lambda tx: tx.run(
                "UPDATE flow_run SET state_type = 'PENDING', state_name = 'Pending'"
                " WHERE expected_start_time = ?",
                (early,),
            )
        )
        [schedule_id] = world.schedule_ids()
        berlin = {"cron": "0 * * * *", "timezone": "Europe/Berlin"}
        await world.change(id_, schedule_id, schedule=berlin)
        await trio.sleep(SOON_S)
        assert len(world.due()) == 2
    sql = "SELECT count(*), count(DISTINCT expected_start_time) FROM flow_run"
    assert world.rows(sql) == [(3, 3)]
