"""`/logs/out`: log lines as they are stored. There is no backfill.

Source: `prefect.server.api.logs.stream_logs_out`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import trio

from lictor.actors.fanout import Subscription
from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Ping, Socket, Text
from lictor.actors.logs import frame_of
from lictor.schema.errors import InvalidRequest, Unavailable
from lictor.schema.filters.logs import LogFilter
from lictor.schema.tables import logs
from lictor.schema.tables.logs import StoredLine
from lictor.schema.wire.decode import BodyDecoder

PROTOCOL_ERROR = 1002
TRY_AGAIN_LATER = 1013
PAGE_LINES = 200
"""Lines read from the table at a time for a reader that has fallen behind."""


class _Opening(msgspec.Struct):
    """The first frame of a client. Other keys are ignored."""

    type: Any = None
    filter: msgspec.Raw = msgspec.Raw(b"null")


_decode_opening = msgspec.json.Decoder(_Opening).decode
_decode_filter: BodyDecoder[LogFilter] = BodyDecoder(LogFilter)


class _Refusal(Exception):
    """The opening cannot be followed; the text is the reason of the close frame."""


async def stream(socket: Socket, services: Services) -> None:
    """Serve one `/logs/out` socket to its end."""
    try:
        if not await accept_prefect_socket(socket, services.settings):
            return
        try:
            criteria = _filter(await _first_message(socket))
            await _follow(socket, services, criteria)
        except _Refusal as refusal:
            await socket.close(PROTOCOL_ERROR, str(refusal))
    except Disconnected:
        return


async def _first_message(socket: Socket) -> bytes:
    while True:
        for frame in await socket.receive():
            if isinstance(frame, Ping):
                await socket.pong(frame.payload)
            elif isinstance(frame, Text):
                return frame.data
            else:
                raise _Refusal("Expected 'filter' message")


def _filter(message: bytes) -> LogFilter:
    """The filter of a client's first frame.

    Raises:
        _Refusal: it is something else, or the filter is not valid.
    """
    try:
        opening = _decode_opening(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Refusal("Expected 'filter' message") from None
    if opening.type != "filter":
        raise _Refusal("Expected 'filter' message")
    try:
        return _decode_filter(bytes(opening.filter))
    except InvalidRequest as error:
        places = ", ".join(_place(fault.loc) + fault.msg for fault in error.errors)
        raise _Refusal(f"Invalid filter: {places}") from None


def _place(loc: tuple[str | int, ...]) -> str:
    path = ".".join(str(part) for part in loc[1:])
    return f"{path}: " if path else ""


async def _follow(socket: Socket, services: Services, criteria: LogFilter) -> None:
    """Send what matches until the client leaves, or is told to come again."""
    try:
        with services.logs.tail(criteria) as subscription:
            refusal = await _send_and_listen(socket, services, criteria, subscription)
    except Unavailable as error:
        refusal = error
    if refusal is not None:
        await socket.close(TRY_AGAIN_LATER, refusal.reason)


async def _send_and_listen(
    socket: Socket, services: Services, criteria: LogFilter, subscription: Subscription[StoredLine]
) -> Unavailable | None:
    """Both directions at once, until the client leaves or cannot be served (then the reason)."""
    refusal = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, socket, nursery.cancel_scope)
        try:
            await _send(socket, services, criteria, subscription)
        except Unavailable as error:
            refusal = error
        except Disconnected:
            pass
        nursery.cancel_scope.cancel()
    return refusal


async def _listen(socket: Socket, scope: trio.CancelScope) -> None:
    """Answer pings until the client leaves; what else it says is ignored."""
    try:
        while True:
            for frame in await socket.receive():
                if isinstance(frame, Ping):
                    await socket.pong(frame.payload)
    except Disconnected:
        scope.cancel()


async def _send(
    socket: Socket, services: Services, criteria: LogFilter, subscription: Subscription[StoredLine]
) -> None:
    """Send what is queued; read the table on while the client is behind. Ends by an exception."""
    while True:
        frames = await subscription.take()
        if frames:
            await socket.send(b"".join(frames))
        else:
            await _catch_up(socket, services, criteria, subscription)


async def _catch_up(
    socket: Socket, services: Services, criteria: LogFilter, subscription: Subscription[StoredLine]
) -> None:
    """Send from the table what has been stored since the client fell behind, until it is level."""
    cursor = subscription.cursor
    while True:
        page, cursor = await services.readers.read(
            partial(logs.stored_after, seq=cursor, criteria=criteria, limit=PAGE_LINES)
        )
        if frames := [frame for log in page if (frame := frame_of(log)) is not None]:
            await socket.send(b"".join(frames))
        if subscription.caught_up(cursor):
            return
