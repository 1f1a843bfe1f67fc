"""Losing power at every operation of the hottest writes: what was acknowledged is there, whole."""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw
import pytest

from crash.conftest import SEED
from crash.disk import PATH, Disk, Operation, PowerLoss, mounted
from crash.workload import Broken, Job, Workload, check, write_all
from lictor.schema.backends import sqlite

OUTCOMES = 1
"""Chances that each operation has, beside the one in which nothing unsynced survives."""
POINTS_AT_LEAST = 3_000
"""Over the four paths of one run; the soak takes other seeds (LICTOR_CRASH_SEED)."""


def creations(work: Workload) -> list[list[Job]]:
    return [[work.create(), work.create(), work.refused(), work.create()] for _ in range(6)]


def few_creations(work: Workload) -> list[list[Job]]:
    return [[work.create(), work.create()] for _ in range(2)]


def transitions(work: Workload) -> list[list[Job]]:
    return [[work.set_state() for _ in range(5)] for _ in range(7)]


def events(work: Workload) -> list[list[Job]]:
    return [[work.events() for _ in range(3)] for _ in range(5)]


def lines(work: Workload) -> list[list[Job]]:
    return [[work.lines() for _ in range(4)] for _ in range(8)]


def everything(work: Workload) -> list[list[Job]]:
    return [
        [work.lines(), work.create(), work.events(), work.refused(), work.set_state()]
        for _ in range(6)
    ]


PATHS = (creations, transitions, events, lines, everything)
_points: dict[str, int] = {}


async def run_on(
    disk: Disk,
    base: dict[str, bytes],
    path: Callable[[Workload], list[list[Job]]],
    synchronous: str = "FULL",
) -> None:
    work = Workload(SEED + 1)
    with mounted(disk) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs, synchronous=synchronous)
        work.runs = [id_ for (id_,) in connection.execute("SELECT id FROM flow_run")]
        disk.trace.clear()
        await write_all(connection, path(work), disk)
        check(connection, [operation.mark for operation in disk.trace if operation.mark])
        connection.close()


def survey(base: dict[str, bytes], trace: list[Operation]) -> tuple[int, list[str]]:
    """Lose power before each operation and after the last: how often, and what was then broken."""
    loss, points, broken = PowerLoss(base), 0, []
    for number, operation in enumerate([*trace, Operation("mark", "", mark=[])]):
        if operation.kind != "mark" or number == len(trace):
            chances = (
                [] if loss.is_settled else [number * 10 + chance for chance in range(OUTCOMES)]
            )
            for chance in (None, *chances):
                points += 1
                image = loss.image(None if chance is None else random.Random(SEED * 10**6 + chance))
                try:
                    reopen_and_check(image, loss.marks)
                except (Broken, apsw.Error) as error:
                    broken.append(f"operation {number}, chance {chance}: {error}")
        loss.advance(operation)
    return points, broken


def reopen_and_check(image: dict[str, bytes], acknowledged: list[object]) -> None:
    """Start on what the power loss has left; write once more, as the next process would."""
    with mounted(Disk(image)) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        try:
            check(connection, acknowledged)
            connection.execute("UPDATE flow SET updated = 'later'")
        finally:
            connection.close()


@pytest.mark.parametrize("path", PATHS)
async def test_whenever_power_is_lost_the_acknowledged_is_there_and_nothing_is_half_there(
    base: dict[str, bytes], path: Callable[[Workload], list[list[Job]]]
) -> None:
    disk = Disk(base)
    await run_on(disk, base, path)
    points, broken = survey(base, disk.trace)
    _points[path.__name__] = points
    replay = f"LICTOR_CRASH_SEED={SEED} pytest tests/crash/test_power_loss.py -k {path.__name__}"
    assert not broken, f"{len(broken)} of {points}; {broken[:3]}; replay: {replay}"


def test_power_was_lost_often_enough() -> None:
    if len(_points) == len(PATHS):
        assert sum(_points.values()) >= POINTS_AT_LEAST, _points


async def test_without_a_sync_for_each_commit_the_oracle_finds_losses(
    base: dict[str, bytes],
) -> None:
    disk = Disk(base)
    await run_on(disk, base, few_creations, synchronous="NORMAL")
    points, broken = survey(base, disk.trace)
    assert len(broken) > points / 10
    assert all("are missing" in fault for fault in broken), broken


async def test_without_a_transaction_the_oracle_finds_halves(base: dict[str, bytes]) -> None:
    disk = Disk(base)
    work = Workload(SEED + 1)
    with mounted(disk) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        work.runs = [id_ for (id_,) in connection.execute("SELECT id FROM flow_run")]
        disk.trace.clear()
        for job in (work.create(), work.lines()):
            job(sqlite.SqliteTx(connection))
        connection.close()
    _, broken = survey(base, disk.trace)
    for half in ("states without their event", "half a batch of lines"):
        assert any(half in fault for fault in broken), half
    assert not any("corrupt" in fault for fault in broken)


async def test_power_may_be_lost_while_the_database_is_made() -> None:
    disk = Disk()
    with mounted(disk) as vfs:
        sqlite.open_writer(PATH, vfs=vfs).close()
    points, broken = survey_birth(disk.trace)
    assert points > 300
    assert not broken, broken[:3]


def survey_birth(trace: list[Operation]) -> tuple[int, list[str]]:
    loss, points, broken = PowerLoss({}), 0, []
    for number, operation in enumerate(trace):
        for chance in (None, number):
            points += 1
            image = loss.image(None if chance is None else random.Random(SEED * 10**6 + chance))
            try:
                reopen_and_check(image, [])
            except (Broken, apsw.Error, sqlite.WrongDatabase) as error:
                broken.append(f"operation {number}, chance {chance}: {error!r}")
        loss.advance(operation)
    return points, broken
