"""A disk that is full, fails or is read-only at any operation: 503, nothing lost, nothing half."""

from __future__ import annotations

from contextlib import suppress

import apsw
import pytest

from crash.conftest import SEED
from crash.disk import PATH, Disk, Operation, mounted
from crash.workload import Job, Workload, check, write_all
from lictor.schema.backends import sqlite
from lictor.schema.errors import Refused, Unavailable

STALLED_GROUPS = 2
"""How many groups meet the trouble before it is over."""


class Trouble:
    """Lets `after` operations of some kinds pass, then fails all of them until it is over."""

    def __init__(self, error: type[apsw.Error], kinds: tuple[str, ...], after: int) -> None:
        self._error = error
        self._kinds = kinds
        self._left = after
        self.is_over = False
        self.struck = False

    def __call__(self, operation: Operation) -> None:
        if self.is_over or operation.kind not in self._kinds:
            return
        self._left -= 1
        if self._left < 0:
            self.struck = True
            raise self._error(f"{operation.kind} of {operation.name}")


def groups(work: Workload) -> list[list[Job]]:
    mixed = [work.create(), work.set_state(), work.events(), work.refused(), work.lines()]
    return [mixed, [work.create(), work.set_state()], [work.create()], [work.create()]]


async def write_through(trouble: Trouble, base: dict[str, bytes]) -> list[object]:
    """Write the groups, the trouble being over before the last; every answer."""
    disk, work = Disk(base), Workload(SEED + 2)
    every_answer: list[object] = []
    struck_in: list[int] = []

    def after_group(number: int, answers: list[object]) -> None:
        every_answer.extend(answers)
        if trouble.struck and not struck_in:
            struck_in.append(number)
        waited = bool(struck_in) and number >= struck_in[0] + STALLED_GROUPS - 1
        if waited or number == len(jobs) - 2:
            trouble.is_over = True

    with mounted(disk) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        work.runs = [id_ for (id_,) in connection.execute("SELECT id FROM flow_run")]
        work.runs = work.runs[:6]
        disk.trace.clear()
        disk.fault = trouble
        jobs = groups(work)
        await write_all(connection, jobs, disk, after_group, checkpoint_every=99)
        assert trouble.is_over
        acknowledged = [operation.mark for operation in disk.trace if operation.mark]
        check(connection, acknowledged)
        sqlite.checkpoint(connection, "truncate")
        check(connection, acknowledged)
        connection.close()
    with mounted(Disk(disk.image())) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        check(connection, acknowledged)
        connection.close()
    return every_answer


@pytest.mark.parametrize(
    ("error", "kinds", "reason", "places_at_least"),
    [
        (apsw.FullError, ("write",), "disk is full", 100),
        (apsw.IOError, ("write", "sync"), "disk failed", 100),
        (apsw.ReadOnlyError, ("write",), "read-only", 100),
        (apsw.IOError, ("sync",), "disk failed", 4),
    ],
)
async def test_wherever_the_disk_fails_all_callers_hear_of_it_and_work_goes_on_after(
    base: dict[str, bytes],
    error: type[apsw.Error],
    kinds: tuple[str, ...],
    reason: str,
    places_at_least: int,
) -> None:
    places = 0
    while True:
        trouble = Trouble(error, kinds, after=places)
        answers = await write_through(trouble, base)
        if not trouble.struck:
            break
        places += 1
        refused = [answer for answer in answers if isinstance(answer, Unavailable)]
        assert refused, f"operation {places} failed and nobody was told"
        assert all(reason in answer.reason for answer in refused), refused
        assert all(answer.retry_after_s >= 1 for answer in refused)
        assert len(answers) == 9
        assert isinstance(answers[-1], list), "the disk was repaired and the journal was not"
        assert sum(isinstance(answer, Refused) for answer in answers) <= 1
    assert places >= places_at_least


@pytest.mark.parametrize("mode", ["passive", "restart", "truncate"])
async def test_a_checkpoint_that_meets_a_full_disk_loses_nothing(
    base: dict[str, bytes], mode: sqlite.CheckpointMode
) -> None:
    places = 0
    while True:
        disk, work = Disk(base), Workload(SEED + 3)
        trouble = Trouble(apsw.FullError, ("write", "sync", "truncate"), after=places)
        with mounted(disk) as vfs:
            connection = sqlite.open_writer(PATH, vfs=vfs)
            work.runs = [id_ for (id_,) in connection.execute("SELECT id FROM flow_run")]
            disk.trace.clear()
            await write_all(connection, groups(work), disk, checkpoint_every=99)
            acknowledged = [operation.mark for operation in disk.trace if operation.mark]
            disk.fault = trouble
            with suppress(apsw.FullError):
                sqlite.checkpoint(connection, mode)
            disk.fault = None
            check(connection, acknowledged)
            connection.close()
        with mounted(Disk(disk.image())) as vfs:
            connection = sqlite.open_writer(PATH, vfs=vfs)
            check(connection, acknowledged)
            connection.close()
        if not trouble.struck:
            break
        places += 1
    assert places > 10
