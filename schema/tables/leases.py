"""The `lease` tables: who holds how many slots of which limits, and until when.

These functions are all that the rest of lictor knows of how leases are stored. A lease and its
slots come and go together: nothing else counts slots, so nothing can disagree with the leases.
Moments, `*_at`, are seconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.rules.slots import Holding, Limit
from lictor.schema.tables.limits import READ_HELD, to_limit


class Holder(NamedTuple):
    """Who holds a lease: `flow_run`, `task_run` or `deployment`, and its id."""

    type: str
    id: str


class Ended(NamedTuple):
    """A lease that was just deleted: since when it held how many slots of which limits."""

    created_at: float
    shares: list[tuple[Limit, int]]


def insert(
    tx: Tx,
    id_: str,
    now_at: float,
    duration_s: float | None,
    holder: Holder | None,
    shares: Iterable[tuple[int, int]],
) -> None:
    """Store a lease over `shares`, pairs of a limit's `seq` and a number of slots.

    `duration_s` None: it holds until it is released.
    """
    row = tx.one(
        "INSERT INTO lease (id, created_at, expires_at, duration_s, holder_type, holder_id)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING seq",
        (
            id_,
            now_at,
            None if duration_s is None else now_at + duration_s,
            duration_s,
            None if holder is None else holder.type,
            None if holder is None else holder.id,
        ),
    )
    assert row is not None
    for limit_seq, slots in shares:
        tx.run("INSERT INTO leased_slots VALUES (?, ?, ?)", (limit_seq, row[0], slots))


def renew(tx: Tx, id_: str, duration_s: float | None, now_at: float) -> bool:
    """Let a lease end `duration_s` seconds from now; False if there is none."""
    expires_at = None if duration_s is None else now_at + duration_s
    changed = tx.run(
        "UPDATE lease SET expires_at = ?, duration_s = ? WHERE id = ?",
        (expires_at, duration_s, id_),
    )
    return changed > 0


def delete(tx: Tx, id_: str) -> Ended | None:
    """End a lease and free its slots; what it held, or None if there is none.

    The limits are as they were before.
    """
    lease = tx.one("SELECT seq, created_at FROM lease WHERE id = ?", (id_,))
    if lease is None:
        return None
    seq, created_at = lease
    shares = [(to_limit(row[1:]), row[0]) for row in tx.all(READ_HELD, (seq,))]
    tx.run("DELETE FROM lease WHERE seq = ?", (seq,))
    return Ended(created_at, shares)


def shares(tx: ReadTx, id_: str) -> list[tuple[str, int]]:
    """The ids of the limits that a lease is over, with its slots of each."""
    return tx.all(
        "SELECT l.id, s.slots FROM lease e JOIN leased_slots s ON s.lease_seq = e.seq"
        " JOIN concurrency_limit l ON l.seq = s.limit_seq WHERE e.id = ?",
        (id_,),
    )


def delete_endless(tx: Tx, holder_id: str) -> None:
    """End the leases of a task run that have no end of their own."""
    tx.run(
        "DELETE FROM lease WHERE expires_at IS NULL AND holder_type = 'task_run'"
        " AND holder_id = ?",
        (holder_id,),
    )


def delete_endless_of_tasks(tx: Tx, flow_run_id: str) -> None:
    """The same for every task run of a flow run. There are few such leases, and many task runs."""
    tx.run(
        "DELETE FROM lease WHERE expires_at IS NULL AND holder_type = 'task_run' AND"
        " (SELECT t.flow_run_id FROM task_run t WHERE t.id = lease.holder_id) = ?",
        (flow_run_id,),
    )


def next_expiry(tx: ReadTx) -> float | None:
    """When the lease that ends first ends; None when none does."""
    row = tx.one("SELECT min(expires_at) FROM lease WHERE expires_at IS NOT NULL")
    assert row is not None
    expires_at: float | None = row[0]
    return expires_at


def expired(tx: ReadTx, now_at: float, limit: int) -> list[str]:
    """Ids of up to `limit` leases that have ended by `now_at`, the earliest first."""
    rows = tx.all(
        "SELECT id FROM lease WHERE expires_at IS NOT NULL AND expires_at <= ?"
        " ORDER BY expires_at LIMIT ?",
        (now_at, limit),
    )
    return [id_ for (id_,) in rows]


def grant_grace(tx: Tx, now_at: float) -> None:
    """Let every lease run for as long again as its holder last asked for, from `now_at`."""
    tx.run("UPDATE lease SET expires_at = ? + duration_s WHERE expires_at IS NOT NULL", (now_at,))


def holdings(tx: ReadTx, limit_seq: int, most: int) -> list[Holding]:
    """Up to `most` leases that hold slots of a limit, the oldest first."""
    rows = tx.all(
        "SELECT e.created_at, e.expires_at, s.slots"
        " FROM leased_slots s JOIN lease e ON e.seq = s.lease_seq"
        " WHERE s.limit_seq = ? AND s.slots > 0 ORDER BY s.lease_seq LIMIT ?",
        (limit_seq, most),
    )
    return [Holding._make(row) for row in rows]


def task_runs_on(tx: ReadTx, limit_seq: int) -> list[str]:
    """The task runs that hold leases on a limit, the earliest first."""
    rows = tx.all(
        "SELECT e.holder_id FROM leased_slots s JOIN lease e ON e.seq = s.lease_seq"
        " WHERE s.limit_seq = ? AND e.holder_type = 'task_run' ORDER BY s.lease_seq",
        (limit_seq,),
    )
    return [id_ for (id_,) in rows]


def on_limit(tx: ReadTx, limit_seq: int) -> list[str]:
    """Every lease that is over a limit."""
    rows = tx.all(
        "SELECT e.id FROM leased_slots s JOIN lease e ON e.seq = s.lease_seq WHERE s.limit_seq = ?",
        (limit_seq,),
    )
    return [id_ for (id_,) in rows]


def of_holder(tx: ReadTx, holder_id: str) -> list[tuple[str, str]]:
    """(lease id, name of a limit it is over), for every lease that `holder_id` holds."""
    return tx.all(
        "SELECT e.id, l.name FROM lease e JOIN leased_slots s ON s.lease_seq = e.seq"
        " JOIN concurrency_limit l ON l.seq = s.limit_seq WHERE e.holder_id = ?",
        (holder_id,),
    )
