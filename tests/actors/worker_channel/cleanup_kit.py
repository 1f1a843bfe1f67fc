"""Clean-up messages for the workers of `channel_world`, and what those say of them."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import trio
from channel_world import WorkerSocket, World, frame, hello
from trio.testing import wait_all_tasks_blocked

from lictor.schema.commands import cleanup
from lictor.schema.commands.cleanup import NewMessage
from lictor.schema.tables import cleanup_messages as table
from lictor.schema.tables.cleanup_messages import Message
from lictor.schema.wire.worker_channel import CleanupKind

TIMEOUT: CleanupKind = "cancelling_timeout_teardown.v1"
CLAIM: CleanupKind = "pending_claim_teardown.v1"
LEASE_S = 30.0


def id_of(number: int) -> str:
    return str(UUID(int=number))


def taking(concurrency: int = 1, **payload: Any) -> dict[str, Any]:
    """The hello of a worker that takes clean-up messages."""
    body = {
        "requested_capabilities": [
            "worker_heartbeat.v1",
            "work_pool_snapshot.v1",
            "cleanup_delivery.v1",
        ],
        "handled_cleanup_kinds": [TIMEOUT],
        "max_cleanup_concurrency": concurrency,
        **payload,
    }
    return hello(**body)


async def put(
    world: World,
    *numbers: int,
    pool: str = "pool",
    queue_id: str | None = None,
    kind: CleanupKind = TIMEOUT,
) -> None:
    """Enqueue messages, in transactions of their own, and let them be delivered."""
    for number in numbers:
        new = NewMessage(
            id_of(number),
            f"key {number}",
            world.pool(pool).id,
            queue_id,
            kind,
            {"flow_run_id": id_of(number)},
        )
        await world.journal.write(partial(cleanup.enqueue, new=new, mint=world.mint))
    await wait_all_tasks_blocked()


def read(world: World, number: int) -> Message | None:
    return world.readers.inline(partial(table.read, id_=id_of(number)))


def payloads(socket: WorkerSocket, type_: str = "cleanup.message.v1") -> list[dict[str, Any]]:
    return [sent["payload"] for sent in socket.sent if sent["type"] == type_]


def delivered(socket: WorkerSocket) -> list[tuple[int, int]]:
    """The number of each message that a worker was sent, and which delivery it was."""
    return [
        (UUID(payload["message_id"]).int, payload["delivery_count"]) for payload in payloads(socket)
    ]


def saying(operation: str, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The frame by which a worker does this with a message that it was sent."""
    body = {key: payload[key] for key in ("message_id", "reservation_token")}
    if operation == "release":
        body["reason"] = "busy"
    return frame(f"cleanup.{operation}.v1", {**body, **more})


async def say(socket: WorkerSocket, operation: str, which: int = -1) -> dict[str, Any]:
    """Do this with the message that was sent as the `which`-th; what the worker is answered."""
    socket.say(saying(operation, payloads(socket)[which]))
    await wait_all_tasks_blocked()
    return payloads(socket, "cleanup.operation_result.v1")[-1]


async def passing(seconds: float) -> None:
    """Let virtual time pass, and everybody do what there is to do."""
    await trio.sleep(seconds)
    await wait_all_tasks_blocked()
