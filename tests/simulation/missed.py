"""Which missed runs the server skips, after a start and after a leap of the wall clock.

What is expected is worked out when it happens, from the rows that the server will find: those it
must skip, and those that it may, because they lie where it looks at its clock a little later.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import apsw

from simulation.chronos import RECHECK_S, Chronos, Run
from simulation.timetables import SECOND, stamp_of
from simulation.wrong import Wrong

LABEL = "lictor.catch-up"
POLICIES = ("all", "latest", "none", 0, 60, "600", "nonsense", None)
GAP_S = 90.0
"""A shorter leap of the clock makes runs late, not missed."""


class Time(NamedTuple):
    """What passed unseen: surely between `after` and `before`, perhaps `edge` more."""

    after: int
    before: int
    edge: int


class Missed:
    """See the module's head."""

    def __init__(self, chronos: Chronos) -> None:
        self._chronos = chronos
        self._must: dict[str, Run] = {}
        self._may: set[str] = set()
        self._latest: set[str] = set()
        self._judged: set[str] = set()
        self._edges: list[tuple[int, int]] = []
        self._by_s = 0.0
        self._seen = 0
        self._judged_at_s = 0.0

    def server_starts(self, connection: apsw.Connection, now: int) -> None:
        """All that is due by now was missed."""
        self._must = {}
        self._latest.clear()
        self._seen = now
        self._by_s = self._chronos.now_s() + self._chronos.slack_s
        self._expect(connection, Time(0, now, SECOND // 5))

    def clock_leaps(self, connection: apsw.Connection, before: int, after: int) -> None:
        """The wall clock of a server that is up has leapt, from `before` to `after`."""
        self._may |= self._latest
        # What a clock that was set back shows for the second time was not missed.
        self._seen = before = max(self._seen, before)
        if after - before > (GAP_S - RECHECK_S) * SECOND:
            must = self._must
            self._by_s = self._chronos.now_s() + RECHECK_S + self._chronos.slack_s
            edge = round(RECHECK_S + self._chronos.slack_s) * SECOND
            self._expect(connection, Time(before, after, edge))
            if after - before <= GAP_S * SECOND:
                self._must = must

    def _expect(self, connection: apsw.Connection, time: Time) -> None:
        self._judged_at_s = self._chronos.now_s()
        self._judged |= self._chronos.waiting.keys()
        self._edges.append((time.before, time.before + time.edge))
        by_deployment: dict[str, dict[str, Run]] = {}
        for run_id, run in self._chronos.waiting.items():
            by_deployment.setdefault(run.deployment_id, {})[run_id] = run
        for deployment_id, runs in by_deployment.items():
            sql = "SELECT labels FROM deployment WHERE id = ?"
            labels = json.loads(connection.execute(sql, (deployment_id,)).get or "{}")
            must, may = _unwanted(labels.get(LABEL), runs, time)
            self._must = self._must | must
            self._may |= may
            if labels.get(LABEL) == "latest":
                self._latest |= runs.keys()

    def check(self) -> None:
        """The server has been up for a while: nothing waits that is not wanted.

        Raises:
            Wrong: with a run that still waits.
        """
        if self._chronos.now_s() < self._by_s:
            return
        for run_id, run in self._must.items():
            if run_id in self._chronos.waiting and not self._is_changed(run):
                raise Wrong(f"run {run_id} was missed and is not skipped: {stamp_of(run.due)}")

    def handed_out(self, run_id: str) -> None:
        """A poll was answered with this run. Raises `Wrong`: it is one to be skipped."""
        if run_id in self._must and not self._is_changed(self._must[run_id]):
            raise Wrong(f"run {run_id} was missed, and handed out: {self._must[run_id]}")

    def note_state(self, run_id: str, name: str) -> None:
        """A run has come to a state of this name. Raises `Wrong`: skipped, and it was wanted."""
        if name != "Skipped" or run_id in self._may:
            return
        run = self._chronos.runs[run_id]
        if not (self._is_changed(run) or self._is_on_edge(run_id) or self._is_outdone(run_id)):
            raise Wrong(f"run {run_id} was skipped: {run}")

    def _is_changed(self, run: Run) -> bool:
        """Whether its deployment may have another label than when it was judged."""
        return self._chronos.changes_s.get(run.deployment_id, -1.0) >= self._judged_at_s

    def _is_outdone(self, run_id: str) -> bool:
        """Whether it was the latest, until one was made that is on the edge itself."""
        run = self._chronos.runs[run_id]
        return run_id in self._latest and any(
            other.schedule_id == run.schedule_id
            and other.due > run.due
            and self._is_on_edge(other_id)
            for other_id, other in self._chronos.runs.items()
        )

    def _is_on_edge(self, run_id: str) -> bool:
        """Whether it was made after a leap, and due before the server looked at its clock again."""
        due = self._chronos.runs[run_id].due
        return run_id not in self._judged and any(
            first <= due < last for first, last in self._edges
        )


def _unwanted(label: object, runs: dict[str, Run], time: Time) -> tuple[dict[str, Run], set[str]]:
    """The runs that must be skipped, and the ids of those that may."""
    after, before = time.after - time.edge, time.before + time.edge
    surely = {id_: run for id_, run in runs.items() if time.after < run.due < time.before}
    perhaps = {id_: run for id_, run in runs.items() if after < run.due < before}
    if label == "none":
        return surely, set(perhaps)
    if label == "latest":
        return _all_but_latest(surely), set(_all_but_latest(perhaps))
    if label not in (0, 60, "600"):
        return {}, set()
    age = int(str(label)) * SECOND
    must = {id_: run for id_, run in surely.items() if run.due < time.before - age}
    return must, {id_ for id_, run in perhaps.items() if run.due < before - age}


def _all_but_latest(runs: dict[str, Run]) -> dict[str, Run]:
    latest: dict[str, int] = {}
    for run in runs.values():
        latest[run.schedule_id] = max(latest.get(run.schedule_id, run.due), run.due)
    return {run_id: run for run_id, run in runs.items() if run.due < latest[run.schedule_id]}
