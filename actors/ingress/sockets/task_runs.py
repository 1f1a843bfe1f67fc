"""`/task_runs/subscriptions/scheduled`: background task runs, one at a time, to a task worker.

The worker says which tasks it serves, is sent a run, acknowledges it when it takes it up, and is
sent the next. It may take its time: a run may lie in its receive buffer for as long as it has no
slot, so only the connection's end returns it to the queue.

Source: `prefect.server.api.task_runs.scheduled_task_subscription`, `prefect.client.subscriptions`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import trio

from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import Disconnected, Ping, Socket, Text, text_frame
from lictor.actors.ingress.sockets.opening import TRY_AGAIN_LATER
from lictor.actors.task_queue import Subscription
from lictor.schema.errors import Unavailable

VIOLATION = 4001
KEYS_MAX = 1000
"""Keys of one worker. Each is looked up when the worker asks for its next run."""


class _Message(msgspec.Struct):
    """What a worker says. Keys that mean nothing are ignored."""

    type: Any = None
    keys: Any = None
    client_id: Any = None


class _Violation(Exception):
    """The worker broke the protocol; the text is the reason of the close frame."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Protocol violation: {reason}")


_Ending = tuple[int, str]
"""The code and the reason of the close frame."""

_decode = msgspec.json.Decoder(_Message).decode


class _Inbox:
    """What the worker says, message by message. Pings are answered where they stand."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._messages: deque[_Message] = deque()

    async def next(self) -> _Message:
        """Wait for a message; what cannot be read has no type.

        Raises:
            Disconnected: the worker left.
        """
        while not self._messages:
            for frame in await self._socket.receive():
                if isinstance(frame, Ping):
                    await self._socket.pong(frame.payload)
                else:
                    data = frame.data if isinstance(frame, Text) else b""
                    self._messages.append(_message(data))
        return self._messages.popleft()


def _message(data: bytes) -> _Message:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Message()


async def deliver(socket: Socket, services: Services) -> None:
    """Serve one task worker to its end."""
    try:
        if not await accept_prefect_socket(socket, services.settings):
            return
        inbox = _Inbox(socket)
        try:
            keys, client_id = _opening(await inbox.next())
            with services.task_queue.subscribe(keys, client_id) as subscription:
                code, reason = await _exchange(socket, inbox, subscription)
        except _Violation as violation:
            code, reason = VIOLATION, str(violation)
        except Unavailable as refusal:
            code, reason = TRY_AGAIN_LATER, refusal.reason
        await socket.close(code, reason)
    except Disconnected:
        return


def _opening(message: _Message) -> tuple[list[str], str]:
    """The tasks a worker serves, and its name.

    Raises:
        _Violation: the message says neither.
    """
    if message.type != "subscribe":
        raise _Violation("expected 'subscribe' message")
    keys, client_id = message.keys, message.client_id
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise _Violation("expected 'keys' in subscribe message")
    if len(keys) > KEYS_MAX:
        raise _Violation(f"expected at most {KEYS_MAX} 'keys' in subscribe message")
    if not isinstance(client_id, str) or not client_id:
        raise _Violation("expected 'client_id' in subscribe message")
    return keys, client_id


async def _exchange(socket: Socket, inbox: _Inbox, subscription: Subscription) -> _Ending:
    """Send runs and take acknowledgements until one side has enough; how the socket ends.

    Raises:
        Disconnected: the worker left.
    """
    endings: list[_Ending | Disconnected] = []
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                while True:
                    await socket.send(text_frame(await subscription.take()))
            except Unavailable as refusal:
                endings.append((TRY_AGAIN_LATER, refusal.reason))
            except Disconnected as gone:
                endings.append(gone)
            nursery.cancel_scope.cancel()

        nursery.start_soon(send)
        try:
            endings.append(await _listen(inbox, subscription))
        except Disconnected as gone:
            endings.append(gone)
        nursery.cancel_scope.cancel()
    ending = endings[0]
    if isinstance(ending, Disconnected):
        raise ending
    return ending


async def _listen(inbox: _Inbox, subscription: Subscription) -> _Ending:
    """Take acknowledgements until the worker quits or breaks the protocol."""
    while True:
        message = await inbox.next()
        if message.type == "quit":
            return 1000, ""
        if subscription.delivered is None:
            continue  # nothing is expected, and nothing that is said can mean a run
        if message.type != "ack":
            return VIOLATION, str(_Violation("expected 'ack' message"))
        subscription.acknowledge()
