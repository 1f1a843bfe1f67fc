"""A store with two pools, a clock that stands still until it is moved, and the queue's commands."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import GroupTx
from lictor.schema.commands import cleanup, work_pools
from lictor.schema.commands.cleanup import Ask, Claim, NewMessage, Result
from lictor.schema.mint import Mint
from lictor.schema.tables import cleanup_messages as table
from lictor.schema.tables.cleanup_messages import Holder, Message
from lictor.schema.wire.work_pools import WorkPool, WorkPoolCreate
from lictor.schema.wire.work_queues import WorkQueueCreate
from lictor.schema.wire.worker_channel import CleanupKind, CleanupMessage, Operation

LEASE_S = 30.0
TIMEOUT: CleanupKind = "cancelling_timeout_teardown.v1"
CLAIM: CleanupKind = "pending_claim_teardown.v1"


def id_of(number: int) -> str:
    return str(UUID(int=number))


class World:
    """`now_s` is the wall clock. Everything happens in one transaction that is never committed."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.now_s = 1_800_000_000.0
        self.settings = Settings(home=path.parent, **settings)
        self.mint = Mint(wall_ns=lambda: int(self.now_s * 1e9), random=random.Random(5))
        self.connection = sqlite.open_writer(path, synchronous="OFF")
        self.tx = GroupTx(self.connection)
        self.tx.begin()
        self.pool = self.add_pool("pool")
        self.other = self.add_pool("other")
        self.queue_id = self.add_queue("pool", "q")

    def close(self) -> None:
        self.tx.rollback()
        self.connection.close()

    def add_pool(self, name: str, type_: str = "process") -> WorkPool:
        body = msgspec.convert({"name": name, "type": type_}, WorkPoolCreate)
        return work_pools.create(self.tx, body, self.mint)

    def add_queue(self, pool: str, name: str) -> str:
        return work_pools.create_queue(self.tx, pool, WorkQueueCreate(name=name), self.mint).id

    def put(
        self,
        number: int,
        key: str | None = None,
        pool: WorkPool | None = None,
        queue_id: str | None = None,
        kind: CleanupKind = TIMEOUT,
    ) -> Message:
        """Enqueue the message called `id_of(number)`, under `key` or one of its own."""
        pool = pool or self.pool
        target = {"flow_run_id": id_of(number), "infrastructure_pid": None}
        new = NewMessage(id_of(number), key or f"key {number}", pool.id, queue_id, kind, target)
        return cleanup.enqueue(self.tx, new, self.mint)

    def reserve(self, *asks: Ask, pool: WorkPool | None = None) -> list[tuple[int, int]]:
        """The number of the connection and that of the message, of each that is reserved."""
        pool = pool or self.pool
        return [
            (number, UUID(message.message_id).int)
            for number, message in cleanup.reserve(
                self.tx, pool.id, asks or (ask(),), self.mint, self.settings
            )
        ]

    def take(self, number: int | None = None, pool: WorkPool | None = None) -> CleanupMessage:
        """Reserve one message, the one called `id_of(number)` if that is said."""
        pool = pool or self.pool
        one = ask(concurrency=10**6, room=1)
        ((_, message),) = cleanup.reserve(self.tx, pool.id, [one], self.mint, self.settings)
        assert number is None or message.message_id == id_of(number)
        return message

    def say(
        self,
        operation: Operation,
        message: CleanupMessage,
        token: str | None = None,
        pool: WorkPool | None = None,
        reason: str | None = None,
    ) -> Result:
        """A worker does this with a message that it was given."""
        claim = Claim(
            (pool or self.pool).id, message.message_id, token or message.reservation_token
        )
        if operation == "release" and reason is None:
            reason = "busy"
        return cleanup.operate(self.tx, operation, claim, self.mint, self.settings, reason)

    def expire(self) -> int:
        return cleanup.expire(self.tx, self.mint, self.settings)

    def read(self, number: int) -> Message:
        found = table.read(self.tx, id_of(number))
        assert found is not None
        return found

    def published(self, type_: type) -> list[Any]:
        """What was published of this type since the last time."""
        found = [item for item in self.tx.published if isinstance(item, type_)]
        self.tx.published.clear()
        return found


def ask(
    number: int = 1,
    worker: str = "w",
    kinds: tuple[CleanupKind, ...] = (TIMEOUT, CLAIM),
    queues: tuple[str, ...] = (),
    concurrency: int = 1,
    room: int = 16,
) -> Ask:
    """What a connection of a worker can take."""
    return Ask(
        number,
        Holder("consumer", worker),
        msgspec.json.encode(kinds).decode(),
        msgspec.json.encode(queues).decode(),
        concurrency,
        room,
    )
