"""How a stream out begins and lives: the client's filter message, then pings until it leaves.

Source: `prefect.server.api.events.stream_workspace_events_out`, `prefect.server.api.logs`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from lictor.actors.ingress.socket import Disconnected, Ping, Socket, Text
from lictor.schema.errors import BadRequest, InvalidRequest
from lictor.schema.wire.decode import BodyDecoder

PROTOCOL_ERROR = 1002
TRY_AGAIN_LATER = 1013


class Opening(msgspec.Struct):
    """The first message of a client. Other keys are ignored."""

    type: Any = None
    filter: msgspec.Raw = msgspec.Raw(b"")
    backfill: Any = True


class NotOpened(Exception):
    """The opening cannot be followed; the text is the reason of the close frame."""


_decode = msgspec.json.Decoder(Opening).decode


async def read_opening(socket: Socket) -> Opening:
    """The opening of the client; pings in front of it are answered.

    Raises:
        NotOpened: the first message is something else.
        Disconnected: the client left.
    """
    while True:
        for frame in await socket.receive():
            if isinstance(frame, Ping):
                await socket.pong(frame.payload)
            else:
                return _opening(frame.data if isinstance(frame, Text) else b"")


def _opening(message: bytes) -> Opening:
    try:
        opening = _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotOpened("Expected 'filter' message") from None
    if opening.type != "filter":
        raise NotOpened("Expected 'filter' message")
    return opening


def filter_of(opening: Opening, decode: BodyDecoder[Any]) -> Any:
    """The filter of an opening, decoded.

    Raises:
        NotOpened: there is none, or it is not valid.
    """
    try:
        return decode(bytes(opening.filter))
    except InvalidRequest as error:
        places = ", ".join(_place(fault.loc) + fault.msg for fault in error.errors)
        raise NotOpened(f"Invalid filter: {places}") from None
    except BadRequest as error:
        raise NotOpened(f"Invalid filter: {error.detail}") from None


def _place(loc: tuple[str | int, ...]) -> str:
    path = ".".join(str(part) for part in loc[1:])
    return f"{path}: " if path else ""


async def answer_pings(socket: Socket, scope: trio.CancelScope) -> None:
    """Answer pings until the client leaves, then cancel `scope`; what else it says is ignored."""
    try:
        while True:
            for frame in await socket.receive():
                if isinstance(frame, Ping):
                    await socket.pong(frame.payload)
    except Disconnected:
        scope.cancel()
