"""The opening of every API WebSocket: the subprotocol, then authentication by message.

A client that offers the subprotocol `prefect` must send `{"type": "auth", "token": ...}` first, and
is answered `{"type": "auth_success"}`, whether credentials are configured or not. A client that
does not offer it is taken without any of this (legacy mode), unless credentials are configured.
Source: `prefect.server.utilities.subscriptions.accept_prefect_socket`.
"""

from __future__ import annotations

import hmac
from typing import Any

import msgspec

from lictor.actors.ingress.socket import Frame, Ping, Socket, Text, text_frame
from lictor.config.settings import Settings

SUBPROTOCOL = "prefect"
POLICY_VIOLATION = 1008
"""Prefect's clients take this close code as wrong credentials and do not come back with them."""
AUTH_BYTES_MAX = 64 * 1024

_SUCCESS = text_frame(b'{"type":"auth_success"}')


class _Auth(msgspec.Struct):
    """The first message of a client. Only `type` and `token` mean anything."""

    type: Any = None
    token: Any = None


_decode = msgspec.json.Decoder(_Auth).decode


async def accept_prefect_socket(
    socket: Socket,
    settings: Settings,
    *,
    subprotocol_required: bool = False,
    refusal: str | None = None,
) -> bool:
    """Accept `socket` and authenticate its client; False when it has been turned away.

    `refusal`: the reason of the close frame for every fault; without it, the fault itself.

    The client sends nothing of the application's before it has read `auth_success`, so a frame that
    comes together with the auth message ends the socket like any other breach. Without the
    subprotocol nothing is read, and every frame is the application's.

    Raises:
        Disconnected: the client left in between.
    """
    expected = settings.api_auth_string
    if SUBPROTOCOL not in socket.subprotocols:
        if expected or subprotocol_required:
            await socket.reject(403)
            return False
        await socket.accept()
        return True
    await socket.accept(SUBPROTOCOL)
    fault = _fault(await _first_message(socket), expected)
    if fault is not None:
        await socket.close(POLICY_VIOLATION, refusal or fault)
        return False
    await socket.send(_SUCCESS)
    return True


async def _first_message(socket: Socket) -> list[Frame]:
    """The messages of the first read that holds one; pings are answered where they stand."""
    while True:
        messages: list[Frame] = []
        for frame in await socket.receive():
            if isinstance(frame, Ping):
                await socket.pong(frame.payload)
            else:
                messages.append(frame)
        if messages:
            return messages


def _fault(messages: list[Frame], expected: str | None) -> str | None:
    """Why these messages do not open the socket, None when they do."""
    first = messages[0]
    if len(messages) > 1 or not isinstance(first, Text) or len(first.data) > AUTH_BYTES_MAX:
        return "Expected 'auth' message"
    try:
        auth = _decode(first.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "Expected 'auth' message"
    if auth.type != "auth":
        return "Expected 'auth' message"
    if not expected:
        return None
    if not auth.token:
        return "Auth required but no token provided"
    token = auth.token if isinstance(auth.token, str) else ""
    if not hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode()):
        return "Invalid token"
    return None
