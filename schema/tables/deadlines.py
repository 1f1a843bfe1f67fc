"""Which runs are due for what, each kind of deadline read from the head of one index.

A deadline is a stored moment plus a lag (how long a run may be PENDING, say), so a changed setting
holds for runs that exist. Nothing here decides: whoever acts looks at the run again in its own
transaction.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lictor.schema.backends.tx import ReadTx
from lictor.schema.events.codec import pack_id
from lictor.schema.times import EARLIEST, Timestamp

HEARTBEAT = "prefect.flow-run.heartbeat"
RUN_PREFIX = "prefect.flow-run."


class RunsInserted(NamedTuple):
    """Published by whoever writes runs in a state without a transition, which has no event."""

    state_type: str
    run_ids: tuple[str, ...]


class Place(NamedTuple):
    """Where a run stands in the order of one kind of deadline; `key` tells equal moments apart."""

    moment: Timestamp
    key: int | str
    run_id: str


class Kind(msgspec.Struct, frozen=True):
    """A kind of deadline: the indexed column, and which rows count. All of it is SQL, no input."""

    table: str
    moment: str
    where: str
    key: str = "seq"
    run_id: str = "id"

    def first_after(self, tx: ReadTx, place: Place | None) -> Timestamp | None:
        """The earliest moment behind `place` (None: of all)."""
        row = tx.one(f"{self._select} LIMIT 1", self._behind(place))
        return None if row is None else row[0]

    def until(self, tx: ReadTx, moment: Timestamp, place: Place | None, limit: int) -> list[Place]:
        """The next `limit` runs behind `place` whose moment is not later than `moment`."""
        found = (
            Place(*row) for row in tx.all(f"{self._select} LIMIT ?", (*self._behind(place), limit))
        )
        return [each for each in found if each.moment <= moment]

    @property
    def _select(self) -> str:
        return (
            f"SELECT {self.moment}, {self.key}, {self.run_id} FROM {self.table}"
            f" WHERE {self.where} AND ({self.moment}, {self.key}) > (?, ?)"
            f" ORDER BY {self.moment}, {self.key}"
        )

    def _behind(self, place: Place | None) -> tuple[str, int | str]:
        if place is None:
            return EARLIEST, -1 if self.key == "seq" else ""
        return place.moment, place.key


LATE = Kind(
    "flow_run", "next_scheduled_start_time", "state_type = 'SCHEDULED' AND state_name = 'Scheduled'"
)
PENDING = Kind("flow_run", "state_timestamp", "state_type = 'PENDING'")
CANCELLING = Kind("flow_run", "state_timestamp", "state_type = 'CANCELLING'")
PAUSED = Kind("flow_run_pause", "expires", "expires IS NOT NULL", "flow_run_id", "flow_run_id")
CLEANUP = Kind("flow_run_cleanup", "due", "true", "flow_run_id", "flow_run_id")

_NOT_TERMINAL = "('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')"


def unfinished_task_runs(tx: ReadTx, flow_run_id: str, limit: int) -> list[str]:
    """Ids of task runs of a flow run that have not ended."""
    rows = tx.all(
        "SELECT id FROM task_run WHERE flow_run_id = ?"
        f" AND (state_type IS NULL OR state_type IN {_NOT_TERMINAL}) LIMIT ?",
        (flow_run_id, limit),
    )
    return [row[0] for row in rows]


def unfinished_subflows(tx: ReadTx, flow_run_id: str, limit: int) -> list[str]:
    """Ids of flow runs that task runs of this one stand for, and that have not ended.

    Without those of deployments that are CANCELLING already: they have been told.
    """
    rows = tx.all(
        "SELECT sub.id FROM task_run tr CROSS JOIN flow_run sub ON sub.parent_task_run_id = tr.id"
        f" WHERE tr.flow_run_id = ? AND sub.state_type IN {_NOT_TERMINAL}"
        " AND NOT (sub.state_type = 'CANCELLING' AND sub.deployment_id IS NOT NULL) LIMIT ?",
        (flow_run_id, limit),
    )
    return [row[0] for row in rows]


class Beats(NamedTuple):
    """The heartbeats of a RUNNING run: the newest one's place, and seconds since the one before."""

    run_id: str
    seq: int
    interval_s: float | None


def running_ids(tx: ReadTx, after: str, limit: int) -> list[tuple[str, str]]:
    """RUNNING flow runs whose id is greater than `after`, by id, and the ids of their states."""
    return tx.all(
        "SELECT id, state_id FROM flow_run"
        " WHERE id > ? AND state_type = 'RUNNING' ORDER BY id LIMIT ?",
        (after, limit),
    )


_BEATS = (
    "SELECT e.seq, e.occurred FROM event_involved i JOIN event e ON e.seq = i.seq"
    " WHERE i.resource = (SELECT key FROM event_resource WHERE id = ?) AND i.is_related = 0"
    " AND e.name = (SELECT key FROM event_name WHERE name = ?)"
)


def last_beats(tx: ReadTx, run_id: str, state_id: str | None = None) -> Beats | None:
    """The last heartbeats stored after the state `state_id`, or of all; None if there is none.

    After it in the order of commits: a clock that was set back does not make them earlier.
    """
    rows = tx.all(
        f"{_BEATS} AND i.seq > coalesce((SELECT seq FROM event WHERE id = ?), 0)"
        " ORDER BY i.occurred DESC LIMIT 2",
        (RUN_PREFIX + run_id, HEARTBEAT, None if state_id is None else pack_id(state_id)),
    )
    if not rows:
        return None
    interval_s = (rows[0][1] - rows[1][1]) / 1e6 if len(rows) == 2 else None
    return Beats(run_id, max(row[0] for row in rows), interval_s)


def has_beaten_after(tx: ReadTx, run_id: str, seq: int) -> bool:
    """Whether a heartbeat of this run was stored after the event `seq`."""
    sql = f"{_BEATS} AND i.seq > ? LIMIT 1"
    return tx.one(sql, (RUN_PREFIX + run_id, HEARTBEAT, seq)) is not None
