"""The scheduler: makes the runs of schedules before they are due.

Owns    nothing: when to look at a schedule again is a row of `schedule_horizon`, whose index is the
        heap; a schedule that is changed is due at once, by triggers.
Serves  nobody; `SchedulesChanged` tells it to look.
Limits  `WRITES_IN_JOB` runs in a job of the journal, so that others wait for milliseconds even
        while ten thousand schedules are due at once.
Fails   as `actors/deadlines.py` says. A schedule whose dates cannot be computed is logged and tried
        again with the next look.

A clock that was ahead and is put right leaves runs that are far away and none before them. So when
it has been set back, since the last look at it or since the newest run was made, every schedule is
filled anew; runs that are there are not made twice.

Dates are computed on a reader's thread, because a recurrence rule may take long; the writer only
stores them, if the schedule is still the same.

Source: `prefect.server.services.scheduler`, which looks every 60 s, and every 5 s for what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import trio

from lictor.actors.deadlines import DeadlineLoop
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import scheduled_runs
from lictor.schema.commands.deadlines import Clock
from lictor.schema.commands.deployment_schedules import SchedulesChanged
from lictor.schema.commands.scheduled_runs import Plan
from lictor.schema.errors import Unavailable
from lictor.schema.tables.deadlines import Kind
from lictor.schema.times import seconds_between

WRITES_IN_JOB = 25
"""Runs, and notes of what was made: two or three milliseconds of the writer's thread."""
LOOK_S = 30.0
"""Time between two looks at the wall clock."""
SET_BACK_S = 1.0
"""A clock that is slewed is put back by less between two looks."""
HORIZON = Kind("schedule_horizon", "due", "due IS NOT NULL", "schedule_id", "schedule_id")

_log = logging.getLogger(__name__)


class Scheduler:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers, clock: Clock) -> None:
        self._journal = journal
        self._readers = readers
        self._clock = clock
        self._loop = DeadlineLoop("scheduler", HORIZON, 0.0, self._fill, readers, clock.mint)
        self._loop.touch_after(journal, lambda item: isinstance(item, SchedulesChanged))

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_clock)
            await self._loop.run()

    async def _watch_clock(self) -> None:
        seen = self._readers.inline(scheduled_runs.newest_made)
        while True:
            now = self._clock.mint.now()
            if seen is not None and seconds_between(now, seen) > SET_BACK_S:
                try:
                    await self._journal.write(scheduled_runs.forget_made)
                except Unavailable as error:
                    await trio.sleep(error.retry_after_s)
                    continue
                self._loop.touch()
            seen = now
            await trio.sleep(LOOK_S)

    async def _fill(self, schedule_ids: Sequence[str]) -> int:
        """Make the runs of these schedules; how many of them have been looked at."""
        plans = await self._readers.read_on_thread(partial(self._plan, schedule_ids))
        for job in scheduled_runs.jobs(plans, WRITES_IN_JOB):
            await self._journal.write(partial(self._store, job))
        return len(plans)

    def _plan(self, schedule_ids: Sequence[str], tx: ReadTx) -> list[Plan]:
        plans: list[Plan] = []
        now = self._clock.mint.now()
        for id_ in schedule_ids:
            source = scheduled_runs.read(tx, id_)
            if source is None:
                continue
            try:
                plans.append(scheduled_runs.plan(source, now, self._clock.settings))
            except (ValueError, ArithmeticError) as error:
                _log.error("schedule %s makes no runs", id_, exc_info=error)
        return plans

    def _store(self, plans: Sequence[Plan], tx: Tx) -> None:
        for plan in plans:
            scheduled_runs.store(tx, plan, self._clock.mint)
