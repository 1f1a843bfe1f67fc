"""What must be true of every history: at every commit, after every crash, and at its end.

`Oracles` also keeps what clients have been promised (`acknowledged`) and what they have asked for
(`proposed`): a store that has less than the one, or changed what nobody asked it to, is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import apsw

from lictor.schema import times
from simulation.chronos import Chronos
from simulation.missed import Missed
from simulation.wrong import Wrong

TERMINAL = frozenset({"COMPLETED", "CANCELLED", "FAILED", "CRASHED"})
NOT_FROM_TERMINAL = frozenset({"CANCELLING", "PAUSED", "CRASHED"})


class Oracles:
    """See the module's head. Ids of events are 32 hexadecimal digits."""

    def __init__(self, chronos: Chronos, missed: Missed) -> None:
        self.chronos = chronos
        self.missed = missed
        self.acknowledged: dict[str, dict[str, None]] = {
            kind: {} for kind in ("run", "state", "event", "line", "task run")
        }
        self.proposed: set[tuple[str, str]] = set()
        self.forced: set[tuple[str, str]] = set()
        self.run_of_key: dict[str, str] = {}
        self.seen_events: dict[str, None] = {}
        self.deserted: dict[str, str] = {}
        self.deserted_tasks: dict[str, None] = {}
        self._states_to = 0
        self._events_to = 0

    def acknowledge(self, kind: str, ids: Iterable[str]) -> None:
        """The server has confirmed these."""
        for id_ in ids:
            self.acknowledged[kind][id_.replace("-", "") if kind == "event" else id_] = None

    def acknowledge_run(self, key: str, run_id: str) -> None:
        """The server has named the run of an idempotency key."""
        known = self.run_of_key.setdefault(key, run_id)
        if known != run_id:
            raise Wrong(f"key {key} has made two runs: {known}, {run_id}")
        self.acknowledge("run", [run_id])

    def propose(self, run_id: str, type_: str, *, force: bool = False) -> None:
        """A client is about to ask for this; from now on it may happen."""
        self.proposed.add((run_id, type_))
        if force:
            self.forced.add((run_id, type_))

    # At every commit

    def check_commit(self, connection: apsw.Connection) -> None:
        """Look at what is new since the last commit.

        Raises:
            Wrong: with what is wrong.
        """
        if not connection.getautocommit():
            raise Wrong("a transaction was left open")
        self.chronos.check_commit(connection)
        rows = connection.execute(_NEW_STATES, (self._states_to,)).fetchall()
        for row in rows:
            (
                seq, id_, run_id, type_, name, before_type, before_name, is_repeated, event,
                newest, is_made_by_schedule,
            ) = row  # fmt: skip
            self._states_to = seq
            before = None if before_type is None else f"{before_type} {before_name}"
            self.chronos.note_state(id_, run_id, (before, f"{type_} {name}"))
            self.missed.note_state(run_id, name)
            if is_repeated and (run_id, type_) not in self.forced:
                raise Wrong(f"state {id_} of run {run_id} repeats the transition before it")
            if event is None and not (before is None and is_made_by_schedule):
                raise Wrong(f"state {id_} of run {run_id} has no event")
            self._check_transition(run_id, before_type, type_, name)
            if newest is None:
                raise Wrong(f"state {id_} is not the run's, nor is a later one")
        rows = connection.execute(_NEW_EVENTS, (self._events_to,)).fetchall()
        for seq, id_, is_transition, state, run_id in rows:
            self._events_to = seq
            # (the events of a run that schedules made, and that was deleted, stay)
            if is_transition and state is None and run_id not in self.chronos.runs:
                raise Wrong(f"event {id_} has no state")
        _expect_none(connection, AT_EVERY_COMMIT)

    def _check_transition(self, run_id: str, before: str | None, after: str, name: str) -> None:
        """Terminal states change only as clients asked, and never in the forbidden ways."""
        if before is None:
            return
        change = f"run {run_id} went from {before} to {after} ({name})"
        forced = (run_id, after) in self.forced
        if before in TERMINAL:
            if (run_id, after) not in self.proposed:
                raise Wrong(f"{change}, and nobody had asked for it")
            if after in NOT_FROM_TERMINAL and not forced:
                raise Wrong(f"{change} without force")
        if forced:
            return
        if before == "CANCELLING" and after != "CANCELLED":
            raise Wrong(change)
        if after == "PENDING" and before in ("CANCELLING", "RUNNING", "CANCELLED"):
            raise Wrong(change)
        if after == "PAUSED" and before != "RUNNING":
            raise Wrong(change)
        if name == "Late" and before != "SCHEDULED":
            raise Wrong(change)

    # After a crash, and at the end

    def check_all(self, connection: apsw.Connection) -> None:
        """Look at everything; from here on what is stored is what clients may build on.

        Raises:
            Wrong: with what is wrong.
        """
        _expect_none(connection, {"PRAGMA foreign_key_check": "references lead to nothing"})
        if connection.pragma("integrity_check") != "ok":
            raise Wrong("the file is corrupt")
        _expect_none(connection, AT_REST)
        for kind, sql in PRESENT.items():
            stored = {id_ for (id_,) in connection.execute(sql)}
            _expect_all(self.acknowledged[kind], stored, f"acknowledged {kind}s")
            if kind == "event":
                _expect_all(self.seen_events, stored, "events that subscribers saw")
        self._states_to = self._events_to = 0
        self.check_commit(connection)

    def check_settled(self, connection: apsw.Connection, now: str) -> None:
        """Long after the last fault nothing is left to itself.

        Raises:
            Wrong: with what is.
        """
        moments = {"now_at": times.epoch_s(now), "long_ago": times.shift(now, -300)}
        _expect_none(connection, SETTLED, moments)
        soon = [
            run_id for run_id, due in connection.execute(_SCHEDULED) if due < times.shift(now, -60)
        ]
        if soon:
            raise Wrong(f"scheduled runs are not marked late: {soon}")
        sql = "SELECT state_type, state_name FROM flow_run WHERE id = ?"
        for run_id, kind in self.deserted.items():
            type_, name = connection.execute(sql, (run_id,)).fetchall()[0]
            if type_ not in TERMINAL and name != "Late":
                raise Wrong(f"run {run_id}, left to itself ({kind}), is still {type_} ({name})")
        sql = "SELECT state_type FROM task_run WHERE id = ?"
        for task_run_id in self.deserted_tasks:
            type_ = connection.execute(sql, (task_run_id,)).get
            if type_ not in TERMINAL:
                raise Wrong(f"task run {task_run_id} of a cancelled run is still {type_}")


def _expect_all(expected: Iterable[str], stored: set[str], what: str) -> None:
    missing = [id_ for id_ in expected if id_ not in stored]
    if missing:
        raise Wrong(f"{len(missing)} {what} are missing: {missing[:3]}")


def _expect_none(
    connection: apsw.Connection,
    queries: dict[str, str],
    moments: Mapping[str, object] | None = None,
) -> None:
    for sql, wrong in queries.items():
        rows: list[Any] = connection.execute(sql, moments or {}).fetchall()[:3]
        if rows:
            raise Wrong(f"{wrong}: {rows}")


_NEW_STATES = (
    "SELECT s.seq, s.id, s.flow_run_id, s.type, s.name,"
    " (SELECT p.type FROM flow_run_state p WHERE p.flow_run_id = s.flow_run_id AND p.seq < s.seq"
    "  ORDER BY p.seq DESC LIMIT 1),"
    " (SELECT p.name FROM flow_run_state p WHERE p.flow_run_id = s.flow_run_id AND p.seq < s.seq"
    "  ORDER BY p.seq DESC LIMIT 1),"
    " (SELECT json_extract(p.state_details, '$.transition_id')"
    "  = json_extract(s.state_details, '$.transition_id') FROM flow_run_state p"
    "  WHERE p.flow_run_id = s.flow_run_id AND p.seq < s.seq ORDER BY p.seq DESC LIMIT 1),"
    " (SELECT e.seq FROM event e WHERE e.id = unhex(replace(s.id, '-', ''))),"
    " (SELECT r.id FROM flow_run r JOIN flow_run_state n ON n.id = r.state_id"
    "  WHERE r.id = s.flow_run_id AND n.seq >= s.seq AND n.type = r.state_type"
    "  AND n.name = r.state_name AND n.timestamp = r.state_timestamp),"
    " (SELECT r.auto_scheduled FROM flow_run r WHERE r.id = s.flow_run_id)"
    " FROM flow_run_state s WHERE s.seq > ? ORDER BY s.seq"
)
_NEW_EVENTS = (
    "SELECT e.seq, lower(hex(e.id)), n.name LIKE 'prefect.flow-run.%'"
    " AND n.name <> 'prefect.flow-run.heartbeat',"
    " (SELECT s.seq FROM flow_run_state s WHERE s.id = (SELECT lower(substr(h, 1, 8) || '-' ||"
    "  substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4) || '-' ||"
    "  substr(h, 21)) FROM (SELECT hex(e.id) AS h))),"
    " (SELECT substr(o.id, 18) FROM event_involved i JOIN event_resource o ON o.key = i.resource"
    "  WHERE i.seq = e.seq AND i.is_related = 0)"
    " FROM event e JOIN event_name n ON n.key = e.name WHERE e.seq > ? ORDER BY e.seq"
)
AT_EVERY_COMMIT = {
    "SELECT l.name, l.capacity, sum(s.slots) AS taken FROM concurrency_limit l"
    " JOIN leased_slots s ON s.limit_seq = l.seq WHERE l.decay_per_s = 0"
    " GROUP BY l.seq HAVING taken + l.loose_slots > l.capacity": "more slots taken than there are",
    "SELECT id FROM flow_run WHERE name = 'refused'": "a refused run is stored",
    "SELECT e.id FROM lease e LEFT JOIN leased_slots s ON s.lease_seq = e.seq"
    " WHERE s.lease_seq IS NULL AND e.holder_type IS NOT 'flow_run'": "a lease without slots",
}
AT_REST = {
    "SELECT id FROM flow_run WHERE state_id IS NULL": "runs without a state",
    "SELECT t.id FROM task_run t LEFT JOIN task_run_state s"
    " ON s.id = t.state_id AND s.task_run_id = t.id AND s.type = t.state_type"
    " WHERE s.id IS NULL": "task runs that disagree with their state",
    "SELECT t.id, t.state_timestamp, max(s.timestamp) AS newest FROM task_run t"
    " JOIN task_run_state s ON s.task_run_id = t.id WHERE t.name LIKE 'reported%'"
    " GROUP BY t.id HAVING newest <> t.state_timestamp": "task runs that are behind their history",
    "SELECT f.id, f.state_type, t.state_type FROM flow_run f JOIN task_run t"
    " ON t.id = f.parent_task_run_id WHERE t.name LIKE 'parent%'"
    " AND f.state_type <> t.state_type": "task runs that do not follow their subflow",
    "SELECT hex(id) FROM event WHERE seq NOT IN (SELECT seq FROM event_involved)": (
        "events that no resource knows"
    ),
    "SELECT seq FROM event_involved WHERE is_related = 0 GROUP BY seq HAVING count(*) <> 1": (
        "events with several primary resources"
    ),
    "SELECT name, count(*) AS lines FROM log GROUP BY name HAVING lines % 3 <> 0": (
        "half a batch of lines"
    ),
    "SELECT flow_id, state_type, state_name, count(*) FROM flow_run GROUP BY 1, 2, 3"
    " EXCEPT SELECT * FROM flow_run_tally": "the tally does not agree with the runs",
}
SETTLED = {
    "SELECT id FROM lease WHERE expires_at < :now_at": "leases that nobody renews have not ended",
    "SELECT task_run_id, holder FROM task_queue": "background tasks that nobody runs",
    "SELECT id FROM flow_run WHERE state_type = 'PENDING'"
    " AND (auto_scheduled = 0 OR state_timestamp < :long_ago)": "runs that are PENDING for ever",
    "SELECT id FROM flow_run WHERE state_type = 'CANCELLING'": "runs that are CANCELLING for ever",
    "SELECT id, state_type FROM task_run WHERE task_key = 'background'"
    " AND state_type <> 'COMPLETED'": "background tasks that did not end",
}
_SCHEDULED = (
    "SELECT id, next_scheduled_start_time FROM flow_run"
    " WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled'"
)
PRESENT = {
    "run": "SELECT id FROM flow_run",
    "state": "SELECT id FROM flow_run_state",
    "task run": "SELECT id FROM task_run",
    "event": "SELECT lower(hex(id)) FROM event",
    "line": "SELECT message FROM log",
}


class Stream:
    """What one connection of a subscriber has been sent, against what has been stored.

    `since`: the newest sequence number when the subscription was surely there; everything later
    that matches must come, in commit order, without a gap and without a double.
    """

    def __init__(self, name: str, since: int) -> None:
        self.name = name
        self.since = since
        self.received: list[str] = []
        self._known: set[str] = set()

    def receive(self, id_: str) -> None:
        if id_ in self._known:
            raise Wrong(f"{self.name} was sent {id_} twice")
        self._known.add(id_)
        self.received.append(id_)

    def check(self, stored: list[tuple[int, str]], *, to_the_end: bool) -> None:
        """`stored`: (sequence number, id) of all that match, in commit order."""
        ids = [id_ for _, id_ in stored]
        if self.received:
            if self.received[0] not in ids:
                raise Wrong(f"{self.name} was sent {self.received[0]}, which is not stored")
            begin = ids.index(self.received[0])
            if ids[begin : begin + len(self.received)] != self.received:
                raise Wrong(f"{self.name} was sent a stream with a gap, or out of order")
            missed = [id_ for seq, id_ in stored[:begin] if seq > self.since]
            rest = stored[begin + len(self.received) :]
        else:
            missed, rest = [], [item for item in stored if item[0] > self.since]
        if missed:
            raise Wrong(f"{self.name} was not sent the first {len(missed)}")
        if to_the_end and rest:
            raise Wrong(f"{self.name} was not sent the last {len(rest)}: {rest[:3]}")
