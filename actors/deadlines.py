"""The kit of actors that keep deadlines of runs: a loop for one kind of deadline, and what tells it
that deadlines have moved.

Theory: the file knows every deadline and has an index for each kind. So a loop holds one moment,
the earliest, and sleeps until then; a restart reads it again. Transitions tell the loop to look
again, and many of them together cost one look. The wall clock is compared at least every
`RECHECK_S` seconds of monotonic time, so a clock that jumps and a machine that slept are noticed;
the database is not read for that.

What is due goes to the journal in small jobs, so that requests share the commits and none waits
for a thousand late runs. A run that cannot be taken further stops no other: it is logged once, and
tried again later.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import trio

from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable
from lictor.schema.events.event import RESOURCE_ID, StoredEvent
from lictor.schema.mint import Mint
from lictor.schema.tables.deadlines import HEARTBEAT, RUN_PREFIX, Kind, Place, RunsInserted
from lictor.schema.times import Timestamp, seconds_between, shift

BATCH = 10
"""Runs in one job of the journal: few milliseconds of its thread, for which others wait."""
GATHER_S = 0.1
"""Transitions that follow each other this closely cost one look at the index."""
RECHECK_S = 30.0
"""Also the time before runs that could not be taken further are tried again."""
STUCK_KNOWN_MAX = 1000
"""Runs of which it is remembered that their failure was logged."""

Settle = Callable[[Tx, str], bool]
"""Takes one run, by its id, past its deadline, if that still holds; whether it did something."""
Work = Callable[[Sequence[str]], Awaitable[int]]
"""Settles runs by their ids; how many were taken further."""
OnState = Callable[[str], None]
OnHeartbeat = Callable[[str, StoredEvent], None]

_log = logging.getLogger(__name__)


class RunWatch:
    """Tells, after each commit, which flow runs have changed state or sent a heartbeat."""

    def __init__(self, journal: Journal) -> None:
        self._on_state: dict[str, list[OnState]] = {}
        self._on_heartbeat: list[OnHeartbeat] = []
        journal.subscribe(self._on_commit)

    def on_state(self, types: Iterable[str], callback: OnState) -> None:
        """Call `callback` with the id of each run that enters a state of these types."""
        for type_ in types:
            self._on_state.setdefault(type_, []).append(callback)

    def on_heartbeat(self, callback: OnHeartbeat) -> None:
        """Call `callback` with the id of each run that has sent a heartbeat, and that event."""
        self._on_heartbeat.append(callback)

    def _on_commit(self, published: list[object]) -> None:
        for item in published:
            if isinstance(item, StoredEvent):
                if item.event.event.startswith(RUN_PREFIX):
                    self._on_event(item)
            elif isinstance(item, RunsInserted):
                for run_id in item.run_ids:
                    self._tell(item.state_type, run_id)

    def _on_event(self, item: StoredEvent) -> None:
        event = item.event
        run_id = event.resource[RESOURCE_ID].removeprefix(RUN_PREFIX)
        if event.event == HEARTBEAT:
            for callback in self._on_heartbeat:
                callback(run_id, item)
        else:
            self._tell(event.resource.get("prefect.state-type", ""), run_id)

    def _tell(self, state_type: str, run_id: str) -> None:
        for callback in self._on_state.get(state_type, ()):
            callback(run_id)


class Settling:
    """Runs a `Settle` for many runs in one job; if that fails, for each in a job of its own."""

    def __init__(self, name: str, journal: Journal, settle: Settle) -> None:
        self._name = name
        self._journal = journal
        self._settle = settle
        self._stuck: set[str] = set()

    async def __call__(self, ids: Sequence[str]) -> int:
        """Settle these runs; how many were taken further.

        Raises:
            Unavailable: the disk refuses, or too much waits; those not yet settled are due still.
        """
        try:
            return await self._journal.write(partial(self._settle_all, ids))
        except Unavailable:
            raise
        except Exception:
            # One of them: find it, and let the others pass.
            return sum([await self._settle_one(each) for each in ids])

    def _settle_all(self, ids: Sequence[str], tx: Tx) -> int:
        return sum([self._settle(tx, each) for each in ids])

    async def _settle_one(self, id_: str) -> bool:
        try:
            return await self._journal.write(lambda tx: self._settle(tx, id_))
        except Unavailable:
            raise
        except Exception as error:
            if id_ not in self._stuck:
                if len(self._stuck) >= STUCK_KNOWN_MAX:
                    self._stuck.clear()
                self._stuck.add(id_)
                _log.error("%s: %s is left as it is", self._name, id_, exc_info=error)
            return False


class DeadlineLoop:
    """Keeps one kind of deadline. `lag_s`: seconds from the stored moment to the deadline."""

    def __init__(
        self, name: str, kind: Kind, lag_s: float, work: Work, readers: Readers, mint: Mint
    ) -> None:
        self._name = name
        self._kind = kind
        self._lag_s = lag_s
        self._work = work
        self._readers = readers
        self._mint = mint
        self._first: Timestamp | None = None
        self._touched = trio.Event()

    def touch(self, _run_id: str = "") -> None:
        """There may be an earlier deadline than before: look again. A callback of `RunWatch`."""
        self._touched.set()

    def touch_after(self, journal: Journal, concerns: Callable[[object], bool]) -> None:
        """Look again after each commit that publishes something of which `concerns` is true."""

        def on_commit(published: list[object]) -> None:
            if any(map(concerns, published)):
                self.touch()

        journal.subscribe(on_commit)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        while True:
            try:
                settled = await self.run_once()
                self._look()
                if not settled and self._wait_s() <= 0:
                    await self._rest(RECHECK_S)
                while (wait_s := self._wait_s()) > 0:
                    await self._rest(wait_s)
            except Unavailable as error:
                await trio.sleep(error.retry_after_s)

    async def run_once(self) -> int:
        """Settle everything that is due; how many runs were taken further."""
        settled = 0
        place: Place | None = None
        while places := self._due_behind(place):
            settled += await self._work([each.run_id for each in places])
            place = places[-1]
        if place is not None:
            observe(f"lictor.{self._name}.runs.settle", runs=settled)
        return settled

    def _due_behind(self, place: Place | None) -> list[Place]:
        moment = shift(self._mint.now(), -self._lag_s)
        return self._readers.inline(lambda tx: self._kind.until(tx, moment, place, BATCH))

    def _look(self) -> None:
        self._first = self._readers.inline(lambda tx: self._kind.first_after(tx, None))

    def _wait_s(self) -> float:
        """Seconds until something is due, by the wall clock; 0 or less: something is."""
        if self._first is None:
            return math.inf
        left_s = seconds_between(self._mint.now(), self._first) + self._lag_s
        # Not less than a millisecond: below the clock's resolution a sleep is a busy loop.
        return max(left_s, 0.001) if left_s > 0 else 0.0

    async def _rest(self, seconds: float) -> None:
        """Sleep, but not past the next look at the clock; when touched, look at the index."""
        with trio.move_on_after(seconds if seconds == math.inf else min(seconds, RECHECK_S)):
            await self._touched.wait()
        if self._touched.is_set():
            await trio.sleep(GATHER_S)
            self._touched = trio.Event()
            self._look()
