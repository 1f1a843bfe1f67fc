"""The rules of the clean-up queue: infrastructure that a worker of a pool is to tear down.

A message is delivered at least once and to one worker at a time: whoever reserves it has a secret
token and a lease, and acknowledges it, releases it, or renews the lease. A lease that ends frees
the message. What was delivered `cleanup_deliveries_max` times for nothing is dead, and so is what
no worker took for `UNDELIVERED_S`.

Source: `prefect.server.worker_communication.cleanup_queue.memory`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.errors import Conflict
from lictor.schema.mint import Mint
from lictor.schema.tables import cleanup_messages as table
from lictor.schema.tables.cleanup_messages import DeathReason, Holder, Message
from lictor.schema.times import Timestamp, seconds_between, shift
from lictor.schema.wire.worker_channel import CleanupKind, CleanupMessage, Operation, Outcome

RESERVED_MAX = 100
"""Messages reserved, or given up instead, in one transaction."""
EXPIRED_MAX = 100
"""Leases ended in one transaction."""
UNDELIVERED_S = 7 * 86_400.0
"""How long a message waits for a worker that can carry it out. By then somebody else has cleaned
up, and what a process id names may be another process."""
TOKEN_BYTES = 32
RELEASE_REASON_LENGTH_MAX = 500
"""Characters that are kept of what a worker says."""


class CleanupChanged(msgspec.Struct, frozen=True):
    """Published when a message of a pool waits, or is over."""

    work_pool_id: str


class CleanupDied(msgspec.Struct, frozen=True):
    """Published when a message is delivered no more, though nobody acknowledged it."""

    message: Message
    reason: DeathReason
    release_reason: str | None


class NewMessage(NamedTuple):
    """What a producer asks for. Its id and key are its own to choose, the same for the same work.

    `work_queue_id` says whose workers should have it; any worker of the pool may.
    """

    id: str
    idempotency_key: str
    work_pool_id: str
    work_queue_id: str | None
    kind: CleanupKind
    target: Mapping[str, Any]


class Ask(NamedTuple):
    """What one connection of a worker can take.

    `kinds` and `work_queue_ids` are JSON lists. `concurrency`: messages that its holder may have
    reserved; `room`: messages that this connection may be given now.
    """

    number: int
    holder: Holder
    kinds: str
    work_queue_ids: str
    concurrency: int
    room: int


class Reservation(NamedTuple):
    """A message that goes to the connection `number`."""

    number: int
    message: CleanupMessage


class Result(NamedTuple):
    """What came of an operation; `reason` for all that is not accepted."""

    status: Outcome
    reason: str | None = None
    lease_expires_at: Timestamp | None = None


def enqueue(tx: Tx, new: NewMessage, mint: Mint) -> Message:
    """The message, which waits from now on unless its id or its key is known, however it ended.

    Raises:
        Conflict: the id is that of another message.
    """
    known = table.read(tx, new.id)
    if known is not None and (known.work_pool_id, known.idempotency_key) != (
        new.work_pool_id,
        new.idempotency_key,
    ):
        raise Conflict(f"The id {new.id} is already that of a different clean-up message.")
    known = known or table.read_by_key(tx, new.work_pool_id, new.idempotency_key)
    if known is not None:
        return known
    message = Message(
        0,
        new.id,
        new.idempotency_key,
        new.work_pool_id,
        new.work_queue_id,
        new.kind,
        Raw(msgspec.json.encode(new.target)),
        Raw(b"{}"),
        "waiting",
        0,
        None,
        None,
        None,
        None,
        None,
    )
    table.insert(tx, message, mint.now())
    tx.publish(CleanupChanged(new.work_pool_id))
    stored = table.read(tx, new.id)
    assert stored is not None
    return stored


class _Round:
    """The connections of a pool that take turns, and what is known of the messages for them."""

    def __init__(self, tx: ReadTx, work_pool_id: str, asks: Sequence[Ask], now: Timestamp) -> None:
        self._tx = tx
        self._work_pool_id = work_pool_id
        self._held = table.held(tx, work_pool_id, now)
        self._open = {ask.number: ask for ask in asks}
        self._rooms = {ask.number: ask.room for ask in asks}
        self._dry: set[tuple[str, str | None]] = set()

    def with_room(self) -> list[Ask]:
        """The connections that can take a message, with no more room than their holder has now."""
        return [
            ask._replace(room=min(ask.room, ask.concurrency - self._held.get(ask.holder, 0)))
            for ask in self._open.values()
            if self._has_room(ask)
        ]

    def next(self) -> tuple[Ask, Message] | None:
        """Who goes next, with which message: first of all one of a queue that it serves."""
        for only_own in (True, False):
            for ask in self._open.values():
                if not self._has_room(ask):
                    continue
                message = self._oldest(ask.kinds, ask.work_queue_ids if only_own else None)
                if message is not None:
                    return ask, message
        return None

    def note(self, ask: Ask) -> None:
        """It has been given a message, and is the last to go next time."""
        self._held[ask.holder] = self._held.get(ask.holder, 0) + 1
        self._rooms[ask.number] -= 1
        self._open[ask.number] = self._open.pop(ask.number)

    def _has_room(self, ask: Ask) -> bool:
        return self._rooms[ask.number] > 0 and self._held.get(ask.holder, 0) < ask.concurrency

    def _oldest(self, kinds: str, work_queue_ids: str | None) -> Message | None:
        """The oldest message; asked once for all workers alike when there is none."""
        if (kinds, work_queue_ids) in self._dry:
            return None
        message = table.oldest(self._tx, self._work_pool_id, kinds, work_queue_ids)
        if message is None:
            self._dry.add((kinds, work_queue_ids))
        return message


def with_room(tx: ReadTx, work_pool_id: str, asks: Sequence[Ask], now: Timestamp) -> list[Ask]:
    """Those that `reserve` may give a message, if there is one for any of them; else none."""
    turns = _Round(tx, work_pool_id, asks, now)
    return turns.with_room() if turns.next() is not None else []


def reserve(
    tx: Tx, work_pool_id: str, asks: Sequence[Ask], mint: Mint, settings: Settings
) -> list[Reservation]:
    """Give waiting messages of a pool to connections in turn, as long as they have room.

    A connection gets the oldest message of its queues; when there is none for any of them, the
    oldest of the pool.
    """
    expire(tx, mint, settings)
    now = mint.now()
    turns = _Round(tx, work_pool_id, asks, now)
    reserved: list[Reservation] = []
    for _ in range(RESERVED_MAX):
        found = turns.next()
        if found is None:
            break
        ask, message = found
        if message.delivery_count >= settings.cleanup_deliveries_max:
            # (The setting was greater when it was delivered last.)
            _bury(tx, message, "max_delivery_attempts_reached", now)
            continue
        until = shift(now, settings.cleanup_lease_s)
        reserved.append(Reservation(ask.number, _reserve(tx, message, ask.holder, until)))
        turns.note(ask)
    return reserved


def _reserve(tx: Tx, message: Message, holder: Holder, until: Timestamp) -> CleanupMessage:
    token = token_urlsafe(TOKEN_BYTES)
    table.reserve(tx, message, token, holder, until)
    return CleanupMessage(
        message_id=message.id,
        kind=message.kind,
        reservation_token=token,
        lease_expires_at=until,
        delivery_count=message.delivery_count + 1,
        work_queue_id=message.work_queue_id,
        target=message.target,
        data=message.data,
    )


class Claim(NamedTuple):
    """What names a reservation: a message, and the token, said by a worker of a pool."""

    work_pool_id: str
    message_id: str
    token: str


def operate(
    tx: Tx,
    operation: Operation,
    claim: Claim,
    mint: Mint,
    settings: Settings,
    release_reason: str | None = None,
) -> Result:
    """Do with a reserved message what its worker says. The order of the checks is Prefect's."""
    now = mint.now()
    message = table.read(tx, claim.message_id)
    if message is None or message.ended is not None:
        return Result("not_found", "message_not_found")
    if message.work_pool_id != claim.work_pool_id:
        return Result("unauthorized", "work_pool_mismatch")
    if message.reservation_token is None or message.lease_expires_at is None:
        return Result("not_current", "no_active_reservation")
    if not hmac.compare_digest(message.reservation_token.encode(), claim.token.encode()):
        return Result("invalid_token", "reservation_token_mismatch")
    if message.lease_expires_at <= now:
        if _give_back(tx, message, now, settings):
            return Result("expired", "lease_expired")
        return Result("dead_lettered", "max_delivery_attempts_reached")
    if operation == "renew":
        until = shift(now, settings.cleanup_lease_s)
        table.extend(tx, message, until)
        return Result("accepted", lease_expires_at=until)
    if operation == "ack":
        table.acknowledge(tx, message, now)
        tx.publish(CleanupChanged(message.work_pool_id))
    elif not _give_back(tx, message, now, settings, release_reason):
        return Result("dead_lettered", "max_delivery_attempts_reached")
    return Result("accepted")


def expire(tx: Tx, mint: Mint, settings: Settings) -> int:
    """End up to `EXPIRED_MAX` leases that are over; how many.

    A lease that ends later than any that could be given now was given before the clock was set
    back: it ends as if it were given now.
    """
    now = mint.now()
    messages = table.overdue(tx, now, EXPIRED_MAX)
    for message in messages:
        _give_back(tx, message, now, settings)
    table.shorten(tx, shift(now, settings.cleanup_lease_s))
    return len(messages)


def seconds_to_expire(tx: ReadTx, mint: Mint, settings: Settings) -> float | None:
    """Seconds until `expire` has something to do, 0 when it has; None while nothing is reserved."""
    leases = table.leases(tx)
    if leases is None:
        return None
    now = mint.now()
    if seconds_between(now, leases.last) > settings.cleanup_lease_s:
        return 0.0
    return max(0.0, seconds_between(now, leases.first))


def give_up(tx: Tx, id_: str, mint: Mint) -> bool:
    """Declare a message dead that has waited too long; whether it was."""
    message = table.read(tx, id_)
    if message is None or message.status != "waiting":
        return False
    _bury(tx, message, "not_delivered_in_time", mint.now())
    return True


def forget(tx: Tx, id_: str) -> bool:
    """Remember a message no more that was over long ago; whether it was there."""
    return table.delete(tx, id_)


def _give_back(
    tx: Tx,
    message: Message,
    now: Timestamp,
    settings: Settings,
    release_reason: str | None = None,
) -> bool:
    """End a reservation; whether the message may be delivered again."""
    if message.delivery_count >= settings.cleanup_deliveries_max:
        _bury(tx, message, "max_delivery_attempts_reached", now, release_reason)
        return False
    table.free(tx, message)
    tx.publish(CleanupChanged(message.work_pool_id))
    return True


def _bury(
    tx: Tx,
    message: Message,
    reason: DeathReason,
    now: Timestamp,
    release_reason: str | None = None,
) -> None:
    if release_reason is not None:
        release_reason = release_reason[:RELEASE_REASON_LENGTH_MAX]
    table.bury(tx, message, reason, release_reason, now)
    tx.publish(CleanupDied(message, reason, release_reason))
    tx.publish(CleanupChanged(message.work_pool_id))
