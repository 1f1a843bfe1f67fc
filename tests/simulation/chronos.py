"""Chronos: each due time of each schedule has one run, at its time, and no other time has any.

Named after the scheduler whose Jepsen test asked this first. What a schedule says is read from the
committed rows, its due times come from `timetables`, and every commit is looked at:

- A run that waits for the future is due when its schedule says so, which is active, of a deployment
  that is not paused. So what a change takes away is gone with the commit of the change.
- Of a schedule and a due time there is never more than one run, and it is begun once.
- A run that nobody has begun vanishes only in a commit that changes its deployment.
- `SOON_S` after a change, after a start and after a jump of the clock the next runs are there
  (`check`), and every due time that a server which was up has seen coming has had its run
  (`check_history`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import apsw

from lictor.config.settings import Settings
from simulation.timetables import SECOND, Timetable, moment_of, stamp_of
from simulation.wrong import Wrong

SOON_S = 1.0
RECHECK_S = 30.0
"""How often the server compares its clocks."""
DAY = 86_400 * SECOND


class Run(NamedTuple):
    """A run that a schedule has made and that nobody has begun."""

    schedule_id: str
    due: int
    deployment_id: str


class Force(NamedTuple):
    """From `since_s` to `until_s`, on the monotonic clock, a schedule made runs, unchanged."""

    schedule_id: str
    timetable: Timetable
    since_s: float
    until_s: float


class Span(NamedTuple):
    """From `since_s` to `until_s` a server was up; its wall clock was `offset` microseconds on."""

    since_s: float
    until_s: float
    offset: int


class Clocks(NamedTuple):
    """The monotonic clock in seconds, and the wall clock in microseconds."""

    monotonic_s: Callable[[], float]
    wall: Callable[[], int]


class Chronos:
    """See the module's head. `slack_s`: how soon this world's disk and limits let runs be there."""

    def __init__(self, clocks: Clocks, settings: Settings, slack_s: float) -> None:
        self._clocks = clocks
        self._settings = settings
        self.slack_s = slack_s
        self.waiting: dict[str, Run] = {}
        self.runs: dict[str, Run] = {}
        self.changed_at_s = 0.0
        self.changes_s: dict[str, float] = {}
        self._tide = 0
        self._run_of: dict[tuple[str, int], str] = {}
        self._begun: dict[tuple[str, int], dict[str, None]] = {}
        self._rows: dict[str, list[tuple[object, ...]]] = {}
        self._open: dict[str, Force] = {}
        self._forces: list[Force] = []
        self._spans: list[Span] = []
        self._up_since_s: float | None = None

    def now_s(self) -> float:
        """The monotonic clock."""
        return self._clocks.monotonic_s()

    # What the world tells

    def server_is_up(self, after_s: float = 0.0) -> None:
        """From now on, or in `after_s` seconds, the server keeps its schedules."""
        self._up_since_s = self._clocks.monotonic_s() + after_s + self.slack_s

    def server_is_down(self) -> None:
        """The server has ended, its disk fails, or the wall clock is about to jump."""
        now_s = self._clocks.monotonic_s()
        since_s, self._up_since_s = self._up_since_s, None
        if since_s is not None and since_s < now_s - self.slack_s:
            offset = self._clocks.wall() - round(now_s * SECOND)
            self._spans.append(Span(since_s, now_s - self.slack_s, offset))

    def clock_jumps(self, jump: Callable[[], None]) -> None:
        """Let a clock jump: the server needs a while to see it."""
        was_up = self._up_since_s is not None
        self.server_is_down()
        jump()
        if was_up:
            self.server_is_up(RECHECK_S)

    # At every commit

    def check_commit(self, connection: apsw.Connection) -> None:
        """Look at what the last commit has done to schedules and runs.

        Raises:
            Wrong: with what is wrong.
        """
        self._tide = max(self._tide, self._clocks.wall())
        before = {schedule_id: force.timetable for schedule_id, force in self._open.items()}
        changed = self._read_schedules(connection)
        waiting = _waiting(connection)
        for run_id, (run, key) in waiting.items():
            if run_id not in self.runs:
                self._check_new(connection, run_id, run, key)
                self._check_due(run_id, run, before)
            elif run.deployment_id in changed:
                self._check_due(run_id, run, before)
            if self.runs[run_id].due != run.due:
                raise Wrong(f"run {run_id} was due at {stamp_of(self.runs[run_id].due)}: {run}")
        gone = [run_id for run_id in self.waiting if run_id not in waiting]
        stored = _stored(connection, gone)
        for run_id in gone:
            run = self.waiting[run_id]
            # A pause deletes even what is due, and the second pause changes nothing else.
            may_go = run.deployment_id in changed or self._is_paused(run.deployment_id)
            if run_id not in stored and not may_go:
                raise Wrong(f"run {run_id} has vanished, and nobody changed its deployment: {run}")
        self.waiting = {run_id: run for run_id, (run, _) in waiting.items()}

    def _read_schedules(self, connection: apsw.Connection) -> set[str]:
        """Ids of deployments that are not as they were before this commit."""
        rows: dict[str, list[tuple[object, ...]]] = {}
        for row in connection.execute(_SCHEDULES):
            rows.setdefault(row[0], []).append(row)
        changed = {id_ for id_ in {*rows, *self._rows} if rows.get(id_) != self._rows.get(id_)}
        if not changed:
            return changed
        now_s = self._clocks.monotonic_s()
        self.changed_at_s = now_s
        self.changes_s.update(dict.fromkeys(sorted(changed), now_s))
        for row in (row for id_ in sorted(changed) for row in self._rows.get(id_, ())):
            force = self._open.pop(str(row[3]), None)
            if force is not None:
                self._forces.append(force._replace(until_s=now_s))
        for _, paused, _, schedule_id, schedule, active, *_ in (
            row for id_ in sorted(changed) for row in rows.get(id_, ())
        ):
            if active and not paused:
                timetable = Timetable(str(schedule))
                self._open[str(schedule_id)] = Force(str(schedule_id), timetable, now_s, now_s)
        self._rows = rows
        return changed

    def _is_paused(self, deployment_id: str) -> bool:
        rows = self._rows.get(deployment_id)
        return bool(rows and rows[0][1])

    def _check_new(self, connection: apsw.Connection, run_id: str, run: Run, key: str) -> None:
        words = key.split(maxsplit=3)
        if moment_of(words[3]) != run.due or words[1] != run.deployment_id:
            raise Wrong(f"the key of run {run_id} is {key!r}, and it is due: {run}")
        slot = (run.schedule_id, run.due)
        other = self._run_of.get(slot)
        if other is not None and _stored(connection, [other]):
            raise Wrong(f"{stamp_of(run.due)} has two runs, {other} and {run_id}: {run}")
        self._run_of[slot] = run_id
        self.runs[run_id] = run

    def _check_due(self, run_id: str, run: Run, before: dict[str, Timetable]) -> None:
        """A run is due when its schedule says so; one of the past, when it said so till now."""
        force = self._open.get(run.schedule_id)
        tables = [] if force is None else [force.timetable]
        if run.due <= self._tide:
            if run_id in self.waiting:
                return
            tables += [before[run.schedule_id]] if run.schedule_id in before else []
        if not any(table.has(run.due) for table in tables):
            raise Wrong(f"run {run_id} is due at {stamp_of(run.due)}, and no schedule says so")
        if run.due > self._tide + self._settings.scheduler_ahead_max_s * SECOND:
            raise Wrong(f"run {run_id} is due too far ahead: {run}")

    def note_state(self, state_id: str, run_id: str, names: tuple[str | None, str]) -> None:
        """A run has gone from the first state to the second, as `<type> <name>`.

        Raises:
            Wrong: it, or another for the same due time, had been begun before.
        """
        run = self.runs.get(run_id)
        if run is None or names[0] is None or not names[1].startswith("PENDING "):
            return
        if names[0].startswith("PENDING "):
            raise Wrong(f"run {run_id} was PENDING and has been made PENDING again")
        if names[0] in ("SCHEDULED Scheduled", "SCHEDULED Late"):
            begun = self._begun.setdefault((run.schedule_id, run.due), {})
            begun[state_id] = None
            if len(begun) > 1:
                raise Wrong(f"{stamp_of(run.due)} was begun {len(begun)} times: {run}")

    # In between, and at the end

    def check(self, connection: apsw.Connection) -> None:
        """The next runs of every schedule are there, if there was time to make them.

        Raises:
            Wrong: with what is missing.
        """
        now_s = self._clocks.monotonic_s()
        if self._up_since_s is None or now_s < self._up_since_s:
            return
        now = self._clocks.wall()
        for force in self._open.values():
            if force.since_s + self.slack_s > now_s:
                continue
            past = now - round(self.slack_s * SECOND)
            needed = [due for due in self._wanted(force.timetable, past) if due > now]
            self._require(connection, force, needed)

    def _require(self, connection: apsw.Connection, force: Force, needed: list[int]) -> None:
        runs = {due: self._run_of.get((force.schedule_id, due)) for due in needed}
        stored = _stored(connection, [run_id for run_id in runs.values() if run_id is not None])
        missing = [due for due, run_id in runs.items() if run_id not in stored]
        if missing:
            raise Wrong(
                f"schedule {force.schedule_id} has no run for {stamp_of(missing[0])} and"
                f" {len(missing) - 1} other of {len(needed)} times, at"
                f" {stamp_of(self._clocks.wall())}"
            )

    def _wanted(self, timetable: Timetable, now: int) -> list[int]:
        """The due times that surely have runs, by the limits on how far ahead these reach."""
        settings = self._settings
        reach = round(settings.scheduler_ahead_max_s * SECOND)
        enough = now + round(settings.scheduler_ahead_min_s * SECOND)
        rest = round(settings.scheduler_rest_s * SECOND)
        # What has come into reach is seen with the next look.
        end = now + reach - max(rest, min(DAY, reach // 2))
        found: list[int] = []
        for due in timetable.due(now, now + reach, settings.scheduler_runs_max):
            found.append(due)
            if len(found) >= settings.scheduler_runs_min and due >= enough:
                break
        if found and timetable.step * (settings.scheduler_runs_max - 2) < enough - now:
            # As many as may be: half of them may pass before others are made.
            end = min(end, now + (found[-1] - now) * 4 // 10)
        return [due for due in found if due <= end]

    def check_history(self) -> None:
        """Every due time that a server has seen coming, long enough, has had its run.

        Raises:
            Wrong: with one that had none.
        """
        was_up = self._up_since_s is not None
        self.server_is_down()
        if was_up:
            self.server_is_up()
        now_s = self._clocks.monotonic_s()
        current = [force._replace(until_s=now_s) for force in self._open.values()]
        for force in (*self._forces, *current):
            for span in self._spans:
                since_s = max(span.since_s, force.since_s + self.slack_s)
                until_s = min(span.until_s, force.until_s)
                if since_s < until_s:
                    self._check_span(force, since_s, until_s, span.offset)

    def _check_span(self, force: Force, since_s: float, until_s: float, offset: int) -> None:
        first = round(since_s * SECOND) + offset
        last = round(until_s * SECOND) + offset
        for due in force.timetable.due(first, last):
            if (force.schedule_id, due) not in self._run_of:
                raise Wrong(f"schedule {force.schedule_id} never had a run for {stamp_of(due)}")


def _waiting(connection: apsw.Connection) -> dict[str, tuple[Run, str]]:
    """The runs that schedules have made and nobody has begun, with their keys."""
    return {
        id_: (Run(key.split(maxsplit=3)[2], moment_of(due), deployment_id), key)
        for id_, key, deployment_id, due in connection.execute(_WAITING)
    }


def _stored(connection: apsw.Connection, run_ids: Iterable[str]) -> set[str]:
    """Those of these runs that exist."""
    sql = "SELECT 1 FROM flow_run WHERE id = ?"
    return {run_id for run_id in run_ids if connection.execute(sql, (run_id,)).get}


_SCHEDULES = (
    "SELECT d.id, d.paused, d.updated, ds.id, ds.schedule, ds.active, ds.updated, ds.parameters,"
    " d.tags FROM deployment d LEFT JOIN deployment_schedule ds ON ds.deployment_id = d.id"
    " ORDER BY d.id, ds.id"
)
_WAITING = (
    "SELECT id, idempotency_key, deployment_id, next_scheduled_start_time FROM flow_run"
    " WHERE auto_scheduled = 1 AND state_type = 'SCHEDULED' AND run_count = 0"
    " AND state_name IN ('Scheduled', 'Late')"
)
