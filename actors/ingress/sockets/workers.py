"""`/work_pools/{name}/workers/connect`: a worker says that it is there, and hears of its pool.

The worker says hello and is answered with what it may have of the channel and with its pool. Then
its heartbeats come in, and each change of the pool goes out. Runs are not sent here: workers ask
for them. Clean-up messages are not delivered by this server, and the capability is declined.

Source: `prefect.server.api.workers.worker_channel_connect`, `prefect.workers._worker_channel`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec
import trio

from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Ping, Socket, Text, text_frame
from lictor.actors.journal import GroupFailed
from lictor.actors.worker_channel import PoolGone, Seat
from lictor.schema.commands import worker_channel as commands
from lictor.schema.commands.worker_channel import Admission, ChannelRefused
from lictor.schema.errors import Refused, Unavailable
from lictor.schema.mint import Mint
from lictor.schema.rules import job_templates, json_schema
from lictor.schema.wire.decode import BodyDecoder
from lictor.schema.wire.worker_channel import (
    REQUIRED_CAPABILITIES,
    VERSION,
    AckFrame,
    CloseReason,
    FrameHead,
    HeartbeatFrame,
    Hello,
    HelloFrame,
    Operation,
    OperationResult,
    Ready,
    ReleaseFrame,
    RenewFrame,
    ServerFrame,
    Snapshot,
)

T = TypeVar("T")

CLOSE_CODES: Mapping[CloseReason, int] = {
    "authentication_failed": 1008,
    "authorization_failed": 1008,
    "unsupported_version": 1008,
    "protocol_error": 1002,
    "heartbeat_persistence_failed": 1011,
    "transient_server_error": 1011,
}

_WorkerFrame = HeartbeatFrame | AckFrame | ReleaseFrame | RenewFrame

_head = msgspec.json.Decoder(FrameHead).decode
_hello: BodyDecoder[HelloFrame] = BodyDecoder(HelloFrame)
_later: Mapping[str, BodyDecoder[_WorkerFrame]] = {
    "worker.heartbeat.v1": BodyDecoder(HeartbeatFrame),
    "cleanup.ack.v1": BodyDecoder(AckFrame),
    "cleanup.release.v1": BodyDecoder(ReleaseFrame),
    "cleanup.renew.v1": BodyDecoder(RenewFrame),
}
_OPERATIONS: Mapping[type, Operation] = {
    AckFrame: "ack",
    ReleaseFrame: "release",
    RenewFrame: "renew",
}


class _Inbox:
    """What the worker says, message by message. Pings are answered where they stand."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._messages: deque[bytes] = deque()

    async def next(self, decoders: Mapping[str, BodyDecoder[T]]) -> T:
        """Wait for a frame of one of these types.

        Raises:
            ChannelRefused: it is something else.
            Disconnected: the worker left.
        """
        while not self._messages:
            for frame in await self._socket.receive():
                if isinstance(frame, Ping):
                    await self._socket.pong(frame.payload)
                else:
                    self._messages.append(frame.data if isinstance(frame, Text) else b"")
        return _decoded(self._messages.popleft(), decoders)


def _decoded(message: bytes, decoders: Mapping[str, BodyDecoder[T]]) -> T:
    try:
        kind = _head(message).type
        decode = decoders.get(kind) if isinstance(kind, str) else None
        if decode is not None:
            return decode(message)
    except (Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChannelRefused("protocol_error") from error
    raise ChannelRefused("protocol_error")


async def connect(socket: Socket, services: Services) -> None:
    """Serve the channel of one worker to its end."""
    try:
        if not await accept_prefect_socket(
            socket, services.settings, subprotocol_required=True, refusal="authentication_failed"
        ):
            return
        try:
            reason = await _serve(socket, services, _pool_name(socket.path))
        except ChannelRefused as refusal:
            reason = refusal.reason
        except PoolGone:
            reason = "authorization_failed"
        except (Unavailable, GroupFailed):
            reason = "transient_server_error"
        await socket.close(CLOSE_CODES[reason], reason)
    except Disconnected:
        return


def _pool_name(path: str) -> str:
    return path.rsplit("/", 3)[1]


async def _serve(socket: Socket, services: Services, name: str) -> CloseReason:
    """Let the worker in and exchange frames with it; why the channel ends.

    Raises:
        ChannelRefused, PoolGone, Unavailable, GroupFailed: the same, by an exception.
        Disconnected: the worker left.
    """
    inbox = _Inbox(socket)
    hello = (await inbox.next({"worker.hello.v1": _hello})).payload
    admission = await _admit(services, name, hello)
    with services.worker_channels.join(admission.work_pool_id, hello.worker_name) as seat:
        ready = _ready(hello, admission, await seat.take())
        await socket.send(_frame("worker.ready.v1", ready, services.mint))
        return await _Channel(socket, services, name, hello, seat).run(inbox)


async def _admit(services: Services, name: str, hello: Hello) -> Admission:
    if VERSION not in hello.supported_channel_versions:
        raise ChannelRefused("unsupported_version")
    try:
        template = services.readers.inline(
            partial(commands.wanted_template, name=name, hello=hello)
        )
        if template:
            # Not in the transaction: every other write would wait for it.
            await trio.to_thread.run_sync(json_schema.load)
            job_templates.check_defaults(template)
        return await services.journal.write(
            partial(
                commands.admit,
                name=name,
                hello=hello,
                template=template,
                mint=services.mint,
                settings=services.settings,
            )
        )
    except (Refused, msgspec.ValidationError) as error:
        raise ChannelRefused("protocol_error") from error


def _ready(hello: Hello, admission: Admission, snapshot: Snapshot) -> Ready:
    asked = dict.fromkeys(hello.requested_capabilities)
    return Ready(
        consumer_id=hello.consumer_id,
        effective_heartbeat_interval_seconds=hello.heartbeat_interval_seconds,
        accepted_capabilities=list(REQUIRED_CAPABILITIES),
        rejected_capabilities=[name for name in asked if name not in REQUIRED_CAPABILITIES],
        effective_max_cleanup_concurrency=0,
        resolved_work_queues=admission.queues,
        initial_snapshot=snapshot,
    )


def _frame(type_: Any, payload: Ready | Snapshot | OperationResult, mint: Mint) -> bytes:
    return text_frame(msgspec.json.encode(ServerFrame(type_, mint.id(), mint.now(), payload)))


class _Channel:
    """A channel that is open: what each side says from then on."""

    def __init__(
        self, socket: Socket, services: Services, name: str, hello: Hello, seat: Seat
    ) -> None:
        self._socket = socket
        self._services = services
        self._name = name
        self._hello = hello
        self._seat = seat

    async def run(self, inbox: _Inbox) -> CloseReason:
        """Both directions at once; why the channel ends.

        Raises:
            Disconnected: the worker left.
        """
        endings: list[CloseReason | Disconnected] = []
        async with trio.open_nursery() as nursery:

            async def tell() -> None:
                try:
                    await self._tell()
                except PoolGone:
                    endings.append("authorization_failed")
                except Disconnected as gone:
                    endings.append(gone)
                nursery.cancel_scope.cancel()

            nursery.start_soon(tell)
            try:
                await self._listen(inbox)
            except ChannelRefused as refusal:
                endings.append(refusal.reason)
            except Disconnected as gone:
                endings.append(gone)
            nursery.cancel_scope.cancel()
        ending = endings[0]
        if isinstance(ending, Disconnected):
            raise ending
        return ending

    async def _tell(self) -> None:
        """Send snapshots of the pool. Ends by an exception."""
        while True:
            snapshot = await self._seat.take()
            frame = _frame("work_pool.snapshot.v1", snapshot, self._services.mint)
            await self._socket.send(frame)

    async def _listen(self, inbox: _Inbox) -> None:
        """Take what the worker says. Ends by an exception."""
        while True:
            frame = await inbox.next(_later)
            if isinstance(frame, HeartbeatFrame):
                await self._beat(frame)
            else:
                await self._decline(frame)

    async def _beat(self, frame: HeartbeatFrame) -> None:
        said, hello, services = frame.payload, self._hello, self._services
        if (said.consumer_id, said.worker_name) != (hello.consumer_id, hello.worker_name):
            raise ChannelRefused("protocol_error")
        job = partial(
            commands.beat,
            name=self._name,
            worker=said.worker_name,
            interval_s=said.heartbeat_interval_seconds,
            mint=services.mint,
            settings=services.settings,
        )
        try:
            updated = await services.journal.write(job)
        except (Unavailable, GroupFailed) as error:
            raise ChannelRefused("heartbeat_persistence_failed") from error
        services.worker_channels.reconcile(self._seat, updated)

    async def _decline(self, frame: AckFrame | ReleaseFrame | RenewFrame) -> None:
        """Nothing was delivered on this channel that could be acknowledged, released or renewed."""
        result = OperationResult(
            request_frame_id=frame.id,
            message_id=frame.payload.message_id,
            operation=_OPERATIONS[type(frame)],
            status="unauthorized",
            reason="cleanup_delivery_not_accepted",
        )
        await self._socket.send(_frame("cleanup.operation_result.v1", result, self._services.mint))
