"""Catch-up: skips runs that were missed and that their deployments do not want any more.

Owns    the latest moment at which the server has seen the wall clock, and the time it has missed.
Serves  `settled()`: polls wait for it, so that no run is handed out that is to be skipped.
Limits  `SKIPPED_IN_JOB` runs in a job of the journal; a poll waits `WAIT_S` seconds, then 503.
Fails   when the disk refuses, it is tried again. A run that cannot be skipped is logged and left,
        so that polls do not wait for it. Restarted in place.

Theory: what has passed unseen was missed. That is the time before the start; and, while the server
lives, any leap of the wall clock by more than `GAP_S` between two looks at it, which are `LOOK_S`
apart at most: a machine that was suspended, a process that was stopped, a clock that was behind.
What a clock shows for the second time, having been put back, has been seen. See
docs/decisions/catch-up.md.
"""

from __future__ import annotations

from functools import partial

import trio

from lictor.actors.deadlines import Settling
from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.commands import catch_up
from lictor.schema.commands.catch_up import Missed
from lictor.schema.commands.deadlines import Clock
from lictor.schema.errors import Unavailable
from lictor.schema.mint import Mint
from lictor.schema.times import EARLIEST, seconds_between

LOOK_S = 30.0
"""Longest time between two looks at the wall clock, by the clock that cannot be set."""
GAP_S = 90.0
"""A shorter leap is a busy machine or a corrected clock: its runs are merely late."""
WAIT_S = 5.0
SKIPPED_IN_JOB = 10
"""Few milliseconds of the writer's thread, for which others wait."""


class CatchUp:
    """See the module's head. Without a scheduler, nothing is skipped."""

    def __init__(self, journal: Journal, readers: Readers, mint: Mint, settings: Settings) -> None:
        self._journal = journal
        self._readers = readers
        self._clock = Clock(mint, settings)
        self._enabled = settings.scheduler_enabled
        self._seen = mint.now()
        self._missed: Missed | None = Missed(EARLIEST, self._seen) if self._enabled else None
        self._noticed = trio.Event()
        self._settled = trio.Event()

    async def settled(self) -> None:
        """Return when nothing waits any more that is to be skipped.

        Raises:
            Unavailable: there is very much of it.
        """
        self._look()
        if self._missed is None:
            return
        with trio.move_on_after(WAIT_S):
            await self._settled.wait()
            return
        raise Unavailable("Runs that were missed are being skipped; try again shortly.", 2)

    async def run(self) -> None:
        """Serve until cancelled."""
        while self._enabled:
            self._look()
            while self._missed is not None:
                await self._settle(self._missed)
            self._noticed = trio.Event()
            with trio.move_on_after(LOOK_S):
                await self._noticed.wait()

    def _look(self) -> None:
        now = self._clock.mint.now()
        if now <= self._seen:
            return
        if self._enabled and seconds_between(self._seen, now) > GAP_S:
            observe("lictor.catch_up.gap.find", after=self._seen, before=now)
            since = self._seen if self._missed is None else self._missed.after
            if self._missed is None:
                self._settled = trio.Event()
            self._missed = Missed(since, now)
            self._noticed.set()
        self._seen = now

    async def _settle(self, missed: Missed) -> None:
        skip = partial(catch_up.skip, missed=missed, clock=self._clock)
        settle = Settling("catch-up", self._journal, skip)
        skipped = 0
        try:
            ids = await self._readers.read_on_thread(partial(catch_up.unwanted, missed=missed))
            for first in range(0, len(ids), SKIPPED_IN_JOB):
                skipped += await settle(ids[first : first + SKIPPED_IN_JOB])
        except Unavailable as error:
            await trio.sleep(error.retry_after_s)
            return
        if skipped:
            observe("lictor.catch_up.runs.skip", runs=skipped)
        if self._missed == missed:
            self._missed = None
            self._settled.set()
