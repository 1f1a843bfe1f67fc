"""`/work_pools/{name}/workers/connect`: a worker says that it is there, and hears of its pool.

The worker says hello and is answered with what it may have of the channel and with its pool. Then
its heartbeats come in, and each change of the pool goes out. Runs are not sent here: workers ask
for them. A worker that can tear infrastructure down is sent clean-up messages, as many at once as
it takes, and is answered what becomes of each that it acknowledges, releases or renews.

Source: `prefect.server.api.workers.worker_channel_connect`, `prefect.workers._worker_channel`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec
import trio

from lictor.actors.cleanup import Lane, Taker
from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Ping, Socket, Text, text_frame
from lictor.actors.journal import GroupFailed
from lictor.actors.worker_channel import PoolGone, Seat
from lictor.schema.commands import cleanup
from lictor.schema.commands import worker_channel as commands
from lictor.schema.commands.cleanup import Claim, Result
from lictor.schema.commands.worker_channel import Admission, ChannelRefused
from lictor.schema.errors import Refused, Unavailable
from lictor.schema.mint import Mint
from lictor.schema.rules import job_templates, json_schema
from lictor.schema.tables.cleanup_messages import Holder
from lictor.schema.wire.decode import BodyDecoder
from lictor.schema.wire.worker_channel import (
    CLEANUP_DELIVERY,
    REQUIRED_CAPABILITIES,
    VERSION,
    AckFrame,
    CleanupMessage,
    CloseReason,
    FrameHead,
    FrameType,
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

_CleanupFrame = AckFrame | ReleaseFrame | RenewFrame
_WorkerFrame = HeartbeatFrame | _CleanupFrame

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
_NOT_ACCEPTED = Result("unauthorized", "cleanup_delivery_not_accepted")


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
        if not hello.cleanup_concurrency:
            return await _Channel(socket, services, name, hello, seat, None).run(inbox)
        with services.cleanup_queue.join(_taker(hello, admission)) as lane:
            return await _Channel(socket, services, name, hello, seat, lane).run(inbox)


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
    accepted: list[str] = [*REQUIRED_CAPABILITIES]
    if hello.cleanup_concurrency:
        accepted.append(CLEANUP_DELIVERY)
    asked = dict.fromkeys(hello.requested_capabilities)
    return Ready(
        consumer_id=hello.consumer_id,
        effective_heartbeat_interval_seconds=hello.heartbeat_interval_seconds,
        accepted_capabilities=accepted,
        rejected_capabilities=[name for name in asked if name not in accepted],
        effective_max_cleanup_concurrency=hello.cleanup_concurrency,
        resolved_work_queues=admission.queues,
        initial_snapshot=snapshot,
    )


def _taker(hello: Hello, admission: Admission) -> Taker:
    return Taker(
        admission.work_pool_id,
        Holder(str(hello.consumer_id), hello.worker_name),
        tuple(hello.handled_cleanup_kinds),
        tuple(queue.id for queue in admission.queues),
        hello.cleanup_concurrency,
    )


def _frame(
    type_: FrameType, payload: Ready | Snapshot | CleanupMessage | OperationResult, mint: Mint
) -> bytes:
    return text_frame(msgspec.json.encode(ServerFrame(type_, mint.id(), mint.now(), payload)))


class _Channel:
    """A channel that is open: what each side says from then on. `lane`: None without clean-up."""

    def __init__(
        self,
        socket: Socket,
        services: Services,
        name: str,
        hello: Hello,
        seat: Seat,
        lane: Lane | None,
    ) -> None:
        self._socket = socket
        self._services = services
        self._name = name
        self._hello = hello
        self._seat = seat
        self._lane = lane

    async def run(self, inbox: _Inbox) -> CloseReason:
        """Both directions at once; why the channel ends.

        Raises:
            Disconnected: the worker left.
        """
        endings: list[CloseReason | Disconnected] = []
        async with trio.open_nursery() as nursery:

            async def until_ended(saying: Callable[[], Awaitable[None]]) -> None:
                try:
                    await saying()
                except PoolGone:
                    endings.append("authorization_failed")
                except Disconnected as gone:
                    endings.append(gone)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_ended, self._tell)
            if self._lane is not None:
                nursery.start_soon(until_ended, partial(self._deliver, self._lane))
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

    async def _deliver(self, lane: Lane) -> None:
        """Send clean-up messages. Ends by an exception."""
        while True:
            message = await lane.take()
            frame = _frame("cleanup.message.v1", message, self._services.mint)
            await self._socket.send(frame)
            lane.sent()

    async def _listen(self, inbox: _Inbox) -> None:
        """Take what the worker says. Ends by an exception."""
        while True:
            frame = await inbox.next(_later)
            if isinstance(frame, HeartbeatFrame):
                await self._beat(frame)
            elif self._lane is None:
                await self._answer(frame, _NOT_ACCEPTED)
            else:
                with self._lane.answering(_OPERATIONS[type(frame)]):
                    await self._answer(frame, await self._operate(frame))

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

    async def _operate(self, frame: _CleanupFrame) -> Result:
        """Do what the worker says of a message; an error is for it to try again."""
        said, services = frame.payload, self._services
        job = partial(
            cleanup.operate,
            operation=_OPERATIONS[type(frame)],
            claim=Claim(self._seat.work_pool_id, str(said.message_id), said.reservation_token),
            mint=services.mint,
            settings=services.settings,
            release_reason=frame.payload.reason if isinstance(frame, ReleaseFrame) else None,
        )
        try:
            return await services.journal.write(job)
        except (Unavailable, GroupFailed):
            return Result("error", "cleanup_queue_operation_failed")

    async def _answer(self, frame: _CleanupFrame, result: Result) -> None:
        payload = OperationResult(
            request_frame_id=frame.id,
            message_id=frame.payload.message_id,
            operation=_OPERATIONS[type(frame)],
            status=result.status,
            lease_expires_at=result.lease_expires_at,
            reason=result.reason,
        )
        await self._socket.send(_frame("cleanup.operation_result.v1", payload, self._services.mint))
