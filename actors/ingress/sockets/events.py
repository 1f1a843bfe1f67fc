"""`/events/in` and `/events/out`: events from clients, and to them.

In: a client takes the pong for the receipt of everything it sent before its ping, and forgets it
then. So pongs are sent in frame order, each after the commit of what came before it; meanwhile the
next frames are read, up to `BATCHES_UNDER_WAY` batches. What is no event is logged and passed over.

Out: stored events that match, oldest first, then live ones. The subscription is made before the
table is read, up to its cursor: nothing is lost in between and nothing sent twice.

Source: `prefect.server.api.events`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import msgspec
import trio

from lictor.actors.event_pages import Delivery
from lictor.actors.events import Pending
from lictor.actors.fanout import Subscription
from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Frame, Ping, Socket, Text
from lictor.actors.ingress.sockets.opening import (
    PROTOCOL_ERROR,
    TRY_AGAIN_LATER,
    NotOpened,
    answer_pings,
    filter_of,
    read_opening,
)
from lictor.schema import times
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import BadRequest, InvalidRequest, Unavailable
from lictor.schema.events.event import Event, EventBody, StoredEvent, fault, from_body
from lictor.schema.events.filters import (
    CompiledFilter,
    EventFilter,
    Interval,
    compile_filter,
    interval,
)
from lictor.schema.tables.event_search import Cursor, Search
from lictor.schema.wire.decode import BodyDecoder

BATCHES_UNDER_WAY = 8
BATCH_EVENTS = 350
"""Half of what a Prefect client sends before it waits for a pong."""
BACKFILL_PAGE_EVENTS = 250
SEND_BYTES = 256 * 1024
"""Frames joined in one write, about."""

_logger = logging.getLogger(__name__)
_decode_event: BodyDecoder[EventBody] = BodyDecoder(EventBody)
_decode_filter: BodyDecoder[EventFilter] = BodyDecoder(EventFilter)

Step = Pending | bytes
"""What the receiver leaves for the answerer: a batch under way, or the payload of a ping."""


async def receive(socket: Socket, services: Services) -> None:
    """Serve one `/events/in` socket to its end."""
    try:
        if not await accept_prefect_socket(socket, services.settings):
            return
        failure = await _exchange(socket, services)
        if failure is not None:
            # The client comes back and sends again whatever it has no pong for.
            await socket.close(TRY_AGAIN_LATER, failure.reason)
    except Disconnected:
        return


async def _exchange(socket: Socket, services: Services) -> Unavailable | None:
    """Read frames and answer pings until the client leaves; why the store refused, if it did."""
    give, take = trio.open_memory_channel[Step](BATCHES_UNDER_WAY)
    failures: list[Unavailable] = []
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            try:
                await _answer(socket, take)
            except Unavailable as refusal:
                failures.append(refusal)
                nursery.cancel_scope.cancel()

        nursery.start_soon(answer)
        async with give:
            try:
                while True:
                    await _submit(services, await socket.receive(), give)
            except Unavailable as refusal:
                failures.append(refusal)
            except Disconnected:
                pass
    return failures[0] if failures else None


async def _answer(socket: Socket, take: trio.MemoryReceiveChannel[Step]) -> None:
    """Pongs in frame order, each after the commit of the batches in front of it.

    Goes on without pongs when the client is gone: what it has sent is read to the end.
    """
    is_gone = False
    async for step in take:
        if isinstance(step, Pending):
            await step.wait()
        elif not is_gone:
            try:
                await socket.pong(step)
            except Disconnected:
                is_gone = True


async def _submit(
    services: Services, frames: Sequence[Frame], give: trio.MemorySendChannel[Step]
) -> None:
    """Hand the events among `frames` to the hub, and the pings behind them to the answerer."""
    hub = services.hub
    received = services.mint.now()
    events: list[Event] = []
    size_bytes = 0
    for frame in frames:
        if isinstance(frame, Ping) or len(events) >= BATCH_EVENTS:
            if events:
                await give.send(await hub.submit(events, size_bytes))
                events, size_bytes = [], 0
            if isinstance(frame, Ping):
                await give.send(frame.payload)
                continue
        event = _event(frame, services, received)
        if event is not None:
            events.append(event)
            size_bytes += len(frame.data)
    if events:
        await give.send(await hub.submit(events, size_bytes))


def _event(frame: Frame, services: Services, received: times.Timestamp) -> Event | None:
    """The event in `frame`; None, with a warning, when there is none that can be taken."""
    limits = services.hub.limits
    if not isinstance(frame, Text):
        _logger.warning("A frame on /events/in is not text; it is passed over")
        return None
    if len(frame.data) > limits.bytes_max:
        _logger.warning("An event of %d bytes is too large; it is dropped", len(frame.data))
        return None
    try:
        body = _decode_event(frame.data)
        broken = fault(body, limits)
        if broken is None:
            return from_body(body, received)
        reason = broken.msg
    except InvalidRequest as error:
        reason = "; ".join(f"{fault.loc[1:]}: {fault.msg}" for fault in error.errors)
    except (BadRequest, OverflowError) as error:
        reason = str(error)
    _logger.warning("A frame on /events/in is no event (%s); it is passed over", reason)
    return None


async def stream(socket: Socket, services: Services) -> None:
    """Serve one `/events/out` socket to its end."""
    try:
        if not await accept_prefect_socket(socket, services.settings):
            return
        try:
            opening = await read_opening(socket)
            filter_ = filter_of(opening, _decode_filter)
            await _follow(socket, services, filter_, bool(opening.backfill))
        except NotOpened as refusal:
            await socket.close(PROTOCOL_ERROR, str(refusal))
        except Unavailable as error:
            await socket.close(TRY_AGAIN_LATER, error.reason)
    except Disconnected:
        return


async def _follow(socket: Socket, services: Services, filter_: EventFilter, backfill: bool) -> None:
    now = services.mint.now()
    asked = interval(filter_, now)
    earliest = times.shift(now, -services.settings.events_backfill_s)
    times_ = Interval(max(asked.since, earliest), asked.until)
    compiled = compile_filter(filter_, times_)
    outward = _Outward(socket, services, compiled)
    oldest_first = msgspec.structs.replace(filter_, order="ASC")
    with services.hub.subscribe(compiled) as subscription:
        failure: Unavailable | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, socket, nursery.cancel_scope)
            try:
                if backfill:
                    await outward.backfill(oldest_first, times_, subscription.cursor)
                await outward.tail(subscription)
            except Unavailable as error:
                failure = error
            except Disconnected:
                pass
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


class _Outward:
    """One reader of events: what is sent to it, and where that comes from."""

    def __init__(self, socket: Socket, services: Services, compiled: CompiledFilter) -> None:
        self._socket = socket
        self._services = services
        self._matches = compiled.matches

    async def backfill(self, filter_: EventFilter, times_: Interval, seq_max: int) -> None:
        """Send the stored events that match, oldest first, of those up to `seq_max`."""
        cursor: Cursor | None = None
        while True:
            page = await self._services.readers.read(
                partial(
                    _stored_page, filter_=filter_, times_=times_, seq_max=seq_max, cursor=cursor
                )
            )
            await self._send([Delivery(StoredEvent(place.seq, event)) for place, event in page])
            if len(page) < BACKFILL_PAGE_EVENTS:
                return
            cursor = page[-1][0]

    async def tail(self, subscription: Subscription[Delivery]) -> None:
        """Send what is queued; go on from the table while the reader is behind."""
        while True:
            frames = await subscription.take()
            if frames:
                await self._write(frames)
            else:
                await self._catch_up(subscription)

    async def _catch_up(self, subscription: Subscription[Delivery]) -> None:
        cursor = subscription.cursor
        while True:
            page, cursor = await self._services.hub.after(cursor)
            await self._send([item for item in page if self._matches(item.event)])
            if subscription.caught_up(cursor):
                return

    async def _send(self, deliveries: list[Delivery]) -> None:
        await self._write([frame for item in deliveries if (frame := item.frame) is not None])

    async def _write(self, frames: list[bytes]) -> None:
        """Send frames, as many as fit `SEND_BYTES` in one write, at least one."""
        first = 0
        while first < len(frames):
            size, after = 0, first
            while after < len(frames) and (size < SEND_BYTES or after == first):
                size += len(frames[after])
                after += 1
            await self._socket.send(b"".join(frames[first:after]))
            first = after


def _stored_page(
    tx: ReadTx, filter_: EventFilter, times_: Interval, seq_max: int, cursor: Cursor | None
) -> list[tuple[Cursor, Event]]:
    search = Search(tx, filter_, times_, seq_max)
    search.distinct = False
    return search.page(BACKFILL_PAGE_EVENTS, cursor)
