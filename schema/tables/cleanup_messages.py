"""The `cleanup_message` table: what is to be torn down, who has reserved it, and how it ended.

A message is waiting, reserved, acknowledged or dead. The functions that change one take it from
where its caller has just found it; which change is due is decided in `schema/commands/cleanup.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.tables.deadlines import Kind
from lictor.schema.times import Timestamp
from lictor.schema.wire.worker_channel import CleanupKind

Status = Literal["waiting", "reserved", "acknowledged", "dead"]
DeathReason = Literal["max_delivery_attempts_reached", "not_delivered_in_time"]

UNDELIVERED = Kind("cleanup_message", "created", "status = 'waiting'")
ENDED = Kind("cleanup_message", "ended", "ended IS NOT NULL")


class Message(msgspec.Struct, frozen=True):
    """One row. `work_queue_id` is advice; `reservation_token` is set while it is reserved."""

    seq: int
    id: str
    idempotency_key: str
    work_pool_id: str
    work_queue_id: str | None
    kind: CleanupKind
    target: Raw
    data: Raw
    status: Status
    delivery_count: int
    reservation_token: str | None
    lease_expires_at: Timestamp | None
    ended: Timestamp | None
    reason: DeathReason | None
    release_reason: str | None


class Holder(NamedTuple):
    """Who reserves messages of a pool: a worker's process, which may come back by another socket.

    Its reservations count together, whichever of its sockets they went to.
    """

    consumer_id: str
    worker_name: str


class Leases(NamedTuple):
    """When the first and the last lease of all end."""

    first: Timestamp
    last: Timestamp


_SELECT = (
    "SELECT seq, id, idempotency_key, work_pool_id, work_queue_id, kind, target, data, status,"
    " delivery_count, reservation_token, lease_expires_at, ended, reason, release_reason"
    " FROM cleanup_message"
)


def _message(row: tuple | None) -> Message | None:  # type: ignore[type-arg]
    if row is None:
        return None
    columns = list(row)
    columns[6:8] = Raw(row[6]), Raw(row[7])
    return Message(*columns)


def read(tx: ReadTx, id_: str) -> Message | None:
    """The message called `id_`."""
    return _message(tx.one(f"{_SELECT} WHERE id = ?", (id_,)))


def read_by_key(tx: ReadTx, work_pool_id: str, idempotency_key: str) -> Message | None:
    """The message of a pool with this idempotency key."""
    return _message(
        tx.one(
            f"{_SELECT} WHERE work_pool_id = ? AND idempotency_key = ?",
            (work_pool_id, idempotency_key),
        )
    )


_OLDEST_OF_POOL = (
    f"{_SELECT} WHERE seq = (SELECT min((SELECT m.seq FROM cleanup_message m"
    " WHERE m.status = 'waiting' AND m.work_pool_id = ? AND m.kind = k.value"
    " ORDER BY m.seq LIMIT 1)) FROM json_each(?) k)"
)
_OLDEST_OF_QUEUES = (
    f"{_SELECT} WHERE seq = (SELECT min((SELECT m.seq FROM cleanup_message m"
    " WHERE m.status = 'waiting' AND m.work_pool_id = ? AND m.work_queue_id = q.value"
    " AND m.kind = k.value ORDER BY m.seq LIMIT 1))"
    " FROM json_each(?) q CROSS JOIN json_each(?) k)"
)


def oldest(
    tx: ReadTx, work_pool_id: str, kinds: str, work_queue_ids: str | None = None
) -> Message | None:
    """The message that has waited longest, of these kinds and queues (None: any).

    Both are JSON lists. One step of an index for each pair of them, however many messages wait.
    """
    if work_queue_ids is None:
        return _message(tx.one(_OLDEST_OF_POOL, (work_pool_id, kinds)))
    return _message(tx.one(_OLDEST_OF_QUEUES, (work_pool_id, work_queue_ids, kinds)))


def held(tx: ReadTx, work_pool_id: str, now: Timestamp) -> dict[Holder, int]:
    """How many messages of a pool each holder has reserved."""
    rows = tx.all(
        "SELECT consumer_id, worker_name, count(*) FROM cleanup_message"
        " WHERE status = 'reserved' AND work_pool_id = ? AND lease_expires_at > ?"
        " GROUP BY consumer_id, worker_name",
        (work_pool_id, now),
    )
    return {Holder(consumer_id, name): count for consumer_id, name, count in rows}


def overdue(tx: ReadTx, now: Timestamp, limit: int) -> list[Message]:
    """Up to `limit` messages whose lease has ended, the earliest first."""
    rows = tx.all(
        f"{_SELECT} WHERE status = 'reserved' AND lease_expires_at <= ?"
        " ORDER BY lease_expires_at LIMIT ?",
        (now, limit),
    )
    return [message for row in rows if (message := _message(row)) is not None]


def leases(tx: ReadTx) -> Leases | None:
    """The ends of the leases, None while nothing is reserved."""
    ends = [
        tx.one(
            "SELECT lease_expires_at FROM cleanup_message WHERE status = 'reserved'"
            f" ORDER BY lease_expires_at {order} LIMIT 1"
        )
        for order in ("ASC", "DESC")
    ]
    first, last = ends
    return None if first is None or last is None else Leases(first[0], last[0])


def insert(tx: Tx, message: Message, now: Timestamp) -> None:
    """Store a message that is new, by its id and by its key; its `seq` is the table's to give."""
    tx.run(
        "INSERT INTO cleanup_message (id, idempotency_key, work_pool_id, work_queue_id, kind,"
        " target, data, created, status, delivery_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.id,
            message.idempotency_key,
            message.work_pool_id,
            message.work_queue_id,
            message.kind,
            bytes(message.target).decode(),
            bytes(message.data).decode(),
            now,
            message.status,
            message.delivery_count,
        ),
    )


def reserve(tx: Tx, message: Message, token: str, holder: Holder, until: Timestamp) -> None:
    """Let `holder` have a waiting message, and count that as a delivery."""
    tx.run(
        "UPDATE cleanup_message SET status = 'reserved', delivery_count = delivery_count + 1,"
        " reservation_token = ?, consumer_id = ?, worker_name = ?, lease_expires_at = ?"
        " WHERE seq = ?",
        (token, *holder, until, message.seq),
    )


def extend(tx: Tx, message: Message, until: Timestamp) -> None:
    """Move the end of a reserved message's lease."""
    tx.run("UPDATE cleanup_message SET lease_expires_at = ? WHERE seq = ?", (until, message.seq))


def shorten(tx: Tx, latest: Timestamp) -> None:
    """Let no lease end later than `latest`."""
    tx.run(
        "UPDATE cleanup_message SET lease_expires_at = ?"
        " WHERE status = 'reserved' AND lease_expires_at > ?",
        (latest, latest),
    )


def free(tx: Tx, message: Message) -> None:
    """Let a reserved message wait again, at its old place."""
    tx.run(
        "UPDATE cleanup_message SET status = 'waiting', reservation_token = NULL,"
        " consumer_id = NULL, worker_name = NULL, lease_expires_at = NULL WHERE seq = ?",
        (message.seq,),
    )


def acknowledge(tx: Tx, message: Message, now: Timestamp) -> None:
    """What a message asks for is done."""
    tx.run(
        "UPDATE cleanup_message SET status = 'acknowledged', ended = ? WHERE seq = ?",
        (now, message.seq),
    )


def bury(
    tx: Tx, message: Message, reason: DeathReason, release_reason: str | None, now: Timestamp
) -> None:
    """A message is delivered no more. Its last reservation is kept, for whoever looks into it."""
    tx.run(
        "UPDATE cleanup_message SET status = 'dead', ended = ?, reason = ?, release_reason = ?"
        " WHERE seq = ?",
        (now, reason, release_reason, message.seq),
    )


def delete(tx: Tx, id_: str) -> bool:
    """Forget a message; whether there was one."""
    return tx.run("DELETE FROM cleanup_message WHERE id = ?", (id_,)) > 0
