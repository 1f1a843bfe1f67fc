"""`/logs/out`: log lines as they are stored. There is no backfill.

Source: `prefect.server.api.logs.stream_logs_out`.
"""

from __future__ import annotations

from functools import partial

import trio

from lictor.actors.fanout import Subscription
from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Socket
from lictor.actors.ingress.sockets.opening import (
    PROTOCOL_ERROR,
    TRY_AGAIN_LATER,
    NotOpened,
    answer_pings,
    filter_of,
    read_opening,
)
from lictor.actors.logs import frame_of
from lictor.schema.errors import Unavailable
from lictor.schema.filters.logs import LogFilter
from lictor.schema.tables import logs
from lictor.schema.tables.logs import StoredLine
from lictor.schema.wire.decode import BodyDecoder

PAGE_LINES = 200
"""Lines read from the table at a time for a reader that has fallen behind."""

_decode_filter: BodyDecoder[LogFilter] = BodyDecoder(LogFilter)


async def stream(socket: Socket, services: Services) -> None:
    """Serve one `/logs/out` socket to its end."""
    try:
        if not await accept_prefect_socket(socket, services.settings):
            return
        try:
            criteria: LogFilter = filter_of(await read_opening(socket), _decode_filter)
        except NotOpened as refusal:
            await socket.close(PROTOCOL_ERROR, str(refusal))
            return
        await _follow(socket, services, criteria)
    except Disconnected:
        return


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
        nursery.start_soon(answer_pings, socket, nursery.cancel_scope)
        try:
            await _send(socket, services, criteria, subscription)
        except Unavailable as error:
            refusal = error
        except Disconnected:
            pass
        nursery.cancel_scope.cancel()
    return refusal


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
