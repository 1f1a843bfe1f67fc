"""Liveness: declares RUNNING runs CRASHED whose heartbeats have ceased.

Owns    for each run that has sent a heartbeat since it became RUNNING: the event, when it came, and
        the run's interval. Memory only: a restart reads it from the events, and counts anew.
Serves  nobody; told of every heartbeat and every transition.
Limits  `TRACKED_MAX` runs; a run beyond that is not watched. `deadlines.BATCH` runs in one job.
Fails   as `actors/deadlines.py` says.

Theory: silence is measured by the monotonic clock of this process, from the arrival of one
heartbeat on. So a server that was down, a machine that slept and a clock that jumped kill no run. A
run that never sent a heartbeat (they can be switched off) is never silent. The transaction looks
once more whether a heartbeat has been stored meanwhile.

The Prefect server leaves this to automations that each user writes.
"""

from __future__ import annotations

import math
from functools import partial

import trio

from lictor.actors.deadlines import BATCH, RunWatch, Settling
from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import deadlines as command
from lictor.schema.commands.deadlines import Clock
from lictor.schema.errors import Unavailable
from lictor.schema.events.event import StoredEvent
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.tables import deadlines as table
from lictor.schema.tables.deadlines import Beats
from lictor.schema.times import Timestamp, seconds_between

INTERVALS = 5
"""Intervals of its own that a run may be silent, if they are longer than the setting."""
FIRST_SILENCE_S = 3600.0
"""Silence after the first heartbeat of all, when the run's interval is not known yet."""
TRACKED_MAX = 100_000
PAGE = 500


class _Beat:
    """The last heartbeat of a run. `at_s`: when it came, by trio's clock."""

    __slots__ = ("at_s", "interval_s", "occurred", "seq")

    def __init__(
        self, seq: int, at_s: float, interval_s: float | None, occurred: Timestamp | None
    ) -> None:
        self.seq = seq
        self.at_s = at_s
        self.interval_s = interval_s
        self.occurred = occurred


class Liveness:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers, watch: RunWatch, clock: Clock) -> None:
        self._readers = readers
        self._clock = clock
        self._timeout_s = clock.settings.heartbeat_timeout_s
        self._beats: dict[str, _Beat] = {}
        self._silent: dict[str, tuple[int, float]] = {}
        """Of the runs being decided: the last heartbeat, and how long they may be silent."""
        self._settle = Settling("liveness", journal, self._end)
        watch.on_heartbeat(self._on_heartbeat)
        watch.on_state(STATE_TYPES, self._on_state)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        await self._recall()
        task_status.started()
        while True:
            await trio.sleep_until(self._next_s())
            try:
                await self.run_once()
            except Unavailable as error:
                await trio.sleep(error.retry_after_s)

    async def run_once(self) -> int:
        """Settle every run that has been silent for too long; how many were declared CRASHED."""
        now_s = trio.current_time()
        silent = [id_ for id_, beat in self._beats.items() if self._deadline_s(beat) <= now_s]
        ended = 0
        for first in range(0, len(silent), BATCH):
            beats = ((id_, self._beats.get(id_)) for id_ in silent[first : first + BATCH])
            self._silent = {
                id_: (beat.seq, self._limit_s(beat)) for id_, beat in beats if beat is not None
            }
            ended += await self._settle(list(self._silent))
            for id_, (seq, _) in self._silent.items():
                beat = self._beats.get(id_)
                if beat is not None and beat.seq == seq:
                    del self._beats[id_]
        if silent:
            observe("lictor.liveness.runs.settle", runs=ended)
        return ended

    def _next_s(self) -> float:
        """When to look again: whatever comes until then has a later deadline."""
        first_s = min((self._deadline_s(beat) for beat in self._beats.values()), default=math.inf)
        return min(first_s, trio.current_time() + self._timeout_s)

    def _deadline_s(self, beat: _Beat) -> float:
        return beat.at_s + self._limit_s(beat)

    def _limit_s(self, beat: _Beat) -> float:
        if beat.interval_s is None:
            return max(self._timeout_s, FIRST_SILENCE_S)
        return max(self._timeout_s, INTERVALS * beat.interval_s)

    def _end(self, tx: Tx, id_: str) -> bool:
        seq, limit_s = self._silent[id_]
        return command.end_silent(tx, id_, seq, limit_s, self._clock)

    async def _recall(self) -> None:
        """Watch the runs that were sending heartbeats before this process began."""
        after = ""
        while True:
            try:
                page = await self._readers.read_on_thread(partial(_beating, after=after))
            except Unavailable as error:
                await trio.sleep(error.retry_after_s)
                continue
            if not page:
                return
            now_s = trio.current_time()
            for after, beats in page:
                if beats is not None and after not in self._beats:
                    self._beats[after] = _Beat(beats.seq, now_s, beats.interval_s, None)

    def _on_heartbeat(self, run_id: str, item: StoredEvent) -> None:
        beat = self._beats.get(run_id)
        now_s, occurred = trio.current_time(), item.event.occurred
        if beat is None:
            if len(self._beats) < TRACKED_MAX:
                self._beats[run_id] = _Beat(item.seq, now_s, None, occurred)
            else:
                observe("lictor.liveness.run.ignore", tracked=len(self._beats))
            return
        if beat.occurred is not None:
            beat.interval_s = abs(seconds_between(beat.occurred, occurred))
        beat.seq, beat.at_s, beat.occurred = item.seq, now_s, occurred

    def _on_state(self, run_id: str) -> None:
        # In whatever state it is now: only a heartbeat after this shows that it sends any.
        self._beats.pop(run_id, None)


def _beating(tx: ReadTx, after: str) -> list[tuple[str, Beats | None]]:
    """The next RUNNING runs behind the id `after`, each with its last heartbeats, if any."""
    return [
        (id_, table.last_beats(tx, id_, state_id))
        for id_, state_id in table.running_ids(tx, after, PAGE)
    ]
