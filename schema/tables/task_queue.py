"""The `task_queue` table: background task runs that wait for a task worker, and who has taken them.

A run joins when it is scheduled and deferred (`join`), and leaves by a trigger with whatever ends
that state. In between, a subscription that acknowledged it may `hold` it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum

from msgspec import Struct

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.errors import Unavailable
from lictor.schema.tables import task_runs
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.task_runs import TaskRun

RETRY_AFTER_S = 10
"""What a full queue asks for. Prefect's client comes back five times before it gives up."""


class Lane(IntEnum):
    """Which run of a key goes first."""

    RETURNED = 0
    RETRY = 1
    SCHEDULED = 2


class DeferredTaskRun(Struct, frozen=True):
    """Published: a run with this task key has joined the queue."""

    task_key: str


class Place(Struct, frozen=True):
    """A run in the queue, by the state that put it there: a later state has a place of its own."""

    task_run_id: str
    state_id: str
    task_key: str


class Hold(Struct, frozen=True):
    """The subscription `holder` acknowledged what stands at `place`."""

    place: Place
    holder: int


class Changes(Struct):
    """What subscriptions did to the queue, to be written together."""

    held: list[Hold] = []
    returned: list[Place] = []
    refused: list[Place] = []


def join(tx: Tx, place: Place, lane: Lane, limit: int) -> None:
    """Put a run at the end of its lane, once the state that brings it there is stored.

    Raises:
        Unavailable: `limit` runs of this key wait in that lane.
    """
    tx.run("DELETE FROM task_queue WHERE task_run_id = ?", (place.task_run_id,))
    row = tx.one(
        "SELECT count(*) FROM task_queue WHERE task_key = ? AND lane = ? AND holder IS NULL",
        (place.task_key, lane),
    )
    assert row is not None
    if row[0] >= limit:
        raise Unavailable(
            f"{limit} runs of the task {place.task_key!r} wait for a task worker; serve the task,"
            " or try again later.",
            RETRY_AFTER_S,
        )
    tx.run(
        "INSERT INTO task_queue (task_run_id, state_id, task_key, lane) VALUES (?, ?, ?, ?)",
        (place.task_run_id, place.state_id, place.task_key, lane),
    )
    tx.publish(DeferredTaskRun(place.task_key))


_FIRST = (
    f"SELECT {task_runs.COLUMNS} FROM task_queue q JOIN task_run tr"
    " ON tr.id = q.task_run_id AND tr.state_id = q.state_id"
    " LEFT JOIN task_run_state s ON s.id = tr.state_id"
    " LEFT JOIN artifact a ON a.id = s.result_artifact_id"
    " WHERE q.task_key = ? AND q.holder IS NULL"
    " AND q.task_run_id NOT IN (SELECT value FROM json_each(?)) ORDER BY q.lane, q.seq LIMIT 1"
)


def first(tx: ReadTx, task_key: str, besides: Sequence[str], now: datetime) -> TaskRun | None:
    """The run that is delivered next, when those called `besides` are on their way already."""
    row = tx.one(_FIRST, (task_key, encode_text(besides).decode() if besides else "[]"))
    return None if row is None else task_runs.to_wire(row, now)


def write(tx: Tx, changes: Changes) -> list[str]:
    """Note who acknowledged what, what came back, and what nobody can be sent.

    The task keys of acknowledged runs that have a place in the queue still, or again: their
    next state came first.
    """
    moved = []
    for hold in changes.held:
        place = hold.place
        if not tx.run(
            "UPDATE task_queue SET holder = ? WHERE task_run_id = ? AND state_id = ?",
            (hold.holder, place.task_run_id, place.state_id),
        ):
            moved.append(place.task_key)
    tx.many(
        "UPDATE task_queue SET lane = ? WHERE task_run_id = ? AND state_id = ?",
        [(Lane.RETURNED, place.task_run_id, place.state_id) for place in changes.returned],
    )
    tx.many(
        "DELETE FROM task_queue WHERE task_run_id = ? AND state_id = ?",
        [(place.task_run_id, place.state_id) for place in changes.refused],
    )
    return moved


def release(tx: Tx, lowest: int, highest: int) -> list[str]:
    """Let the runs that these holders have not begun go to others, first of all; their keys."""
    rows = tx.all(
        "UPDATE task_queue SET holder = NULL, lane = ? WHERE holder BETWEEN ? AND ?"
        " RETURNING task_key",
        (Lane.RETURNED, lowest, highest),
    )
    return [task_key for (task_key,) in rows]


def newest_holder(tx: ReadTx) -> int:
    """The highest number of a holder, 0 if there is none."""
    row = tx.one("SELECT max(holder) FROM task_queue WHERE holder IS NOT NULL")
    return 0 if row is None or row[0] is None else int(row[0])
