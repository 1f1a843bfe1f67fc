"""API WebSockets over HTTP/1.1, on the connection that carried their upgrade.

Pings come to the handler as frames, in order, and only the handler answers them: Prefect's event
client takes the pong for the receipt of all it sent before, so it must follow the commit.

A peer that stops answering lictor's own pings is dropped, but only while somebody reads: pongs that
wait behind frames the handler has not fetched are no fault of the peer. A writer that makes no
progress for as long is dropped too.

Source: RFC 6455.
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha1
from typing import Final

import trio

from lictor.actors.ingress import frames
from lictor.actors.ingress.http import Header, Request
from lictor.actors.ingress.request_parser import Rejection
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import Disconnected, Frame, SocketHandler
from lictor.actors.ingress.wire import Gone, Wire

ABNORMAL: Final = 1006
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
MESSAGE_SLACK_BYTES: Final = 64 * 1024
CLOSE_S: Final = 2.0
_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_log = logging.getLogger("lictor.ingress")


def handshake_fault(request: Request) -> Rejection | None:
    """What is wrong with an upgrade request, if anything. Source: RFC 6455 section 4.2.1."""
    if request.method != "GET":
        return Rejection(400, "A WebSocket is opened with GET.")
    if request.header(b"sec-websocket-version") != b"13":
        return Rejection(426, "Only version 13 of WebSocket is supported.")
    try:
        key = b64decode(request.header(b"sec-websocket-key") or b"", validate=True)
    except NotBase64:
        key = b""
    if len(key) != 16:
        return Rejection(400, "Sec-WebSocket-Key must be 16 bytes in base64.")
    return None


def subprotocols(headers: list[Header]) -> tuple[str, ...]:
    """What the client offers; the header may be repeated, comma-separated, or both."""
    values = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    names = (name.strip() for name in values.decode("latin-1").split(","))
    return tuple(name for name in names if name)


class LaneSocket:
    """A `Socket` on a connection of its own. `first` are bytes that followed the upgrade."""

    def __init__(self, site: Site, wire: Wire, request: Request, first: bytes) -> None:
        settings = site.settings
        self.path = request.path
        self.query = request.query
        self.headers = request.headers
        self.subprotocols = subprotocols(request.headers)
        self.peer = request.peer
        self.rejected: Rejection | None = None
        self.accepted = False
        self._wire = wire
        self._first = first
        self._parser = frames.FrameParser(settings.events_bytes_max + MESSAGE_SLACK_BYTES)
        self._interval_s = settings.websocket_ping_interval_s
        self._timeout_s = settings.websocket_ping_timeout_s
        self._sending = trio.Lock()
        self._mid_frame = False
        self._receiving = False
        self._left: int | None = None  # the code of the peer's close frame
        self._closed: int | None = None  # the code of ours, or 1006
        self._opened = trio.Event()
        self._ponged = trio.Event()
        self._scope = trio.CancelScope()
        self._stopping = False

    # What the handler calls: see `Socket`.

    async def accept(self, subprotocol: str | None = None) -> None:
        key = next(value for name, value in self.headers if name == b"sec-websocket-key")
        token = b64encode(sha1(key + _ACCEPT_GUID, usedforsecurity=False).digest())
        answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: " + token + b"\r\n"
        )
        if subprotocol is not None:
            answer += b"sec-websocket-protocol: " + subprotocol.encode("ascii") + b"\r\n"
        self.accepted = True
        self._opened.set()
        await self.send(answer + b"\r\n")

    async def reject(self, status: int = 403) -> None:
        self.rejected = Rejection(status, "Forbidden" if status == 403 else "WebSocket refused")
        self._closed = ABNORMAL
        await trio.lowlevel.checkpoint()

    async def receive(self) -> list[Frame]:
        while self._closed is None and self._left is None:
            if self._parser.fault is not None:
                fault = self._parser.fault
                await self.close(fault.code, fault.reason)
                break
            data, self._first = self._first, b""
            if data:
                await trio.lowlevel.checkpoint()
            else:
                data = await self._read()
            received = self._sorted(self._parser.feed(data))
            if received:
                return received
        if self._left is not None and self._closed is None:
            await self.close(self._left)
        raise Disconnected(ABNORMAL if self._closed is None else self._closed)

    async def send(self, frames: bytes) -> None:
        if self._closed is not None:
            raise Disconnected(self._closed)
        sending = self._sending
        try:
            sending.acquire_nowait()
        except trio.WouldBlock:
            await sending.acquire()
        try:
            if self._mid_frame:  # a sender was cancelled half-way
                raise Gone
            self._mid_frame = True
            await self._wire.send(frames)
            self._mid_frame = False
        except Gone:
            self._closed = ABNORMAL
            raise Disconnected from None
        finally:
            sending.release()

    async def pong(self, payload: bytes) -> None:
        await self.send(frames.pong_frame(payload))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._stopping:  # so that a client comes back, whatever a cancelled handler says
            code, reason = SERVICE_RESTART, "The server is stopping"
        if self._closed is None:
            self._closed = code
            await self._say_goodbye(frames.close_frame(code, reason))

    # What the lane calls.

    async def run(self, handler: SocketHandler) -> None:
        """Let `handler` serve the socket, and end it in its name if it did not."""
        code, reason = 1000, ""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_alive)
                    await handler(self)
                    nursery.cancel_scope.cancel()
        except* Disconnected:
            pass  # the usual end
        except* Exception:
            _log.exception("The handler of the socket %s failed.", self.path)
            code, reason = INTERNAL_ERROR, "Internal error"
        await self._end(code, reason)

    def stop(self) -> None:
        """Begin to end the socket because the server stops."""
        self._stopping = True
        self._scope.cancel()

    async def _end(self, code: int, reason: str) -> None:
        if not self.accepted:
            if self.rejected is None:
                self.rejected = Rejection(503 if self._stopping else 500, "Not accepted")
            return
        if self._left is not None:
            code, reason = self._left, ""
        await self.close(code, reason)

    def _sorted(self, events: list[frames.Event]) -> list[Frame]:
        """The handler's share of what came; the rest is noted."""
        received: list[Frame] = []
        for event in events:
            if isinstance(event, frames.Pong):
                self._ponged.set()
            elif isinstance(event, frames.Close):
                self._left = event.code
            else:
                received.append(event)
        return received

    async def _read(self) -> bytes:
        self._receiving = True
        try:
            data = await self._wire.receive()
        except Gone:
            data = b""
        finally:
            self._receiving = False
        if not data:
            self._closed = ABNORMAL
            raise Disconnected
        return data

    async def _say_goodbye(self, frame: bytes) -> None:
        """Send a close frame, unless another frame is cut off half-way, and end the connection."""
        with trio.move_on_after(CLOSE_S):
            async with self._sending:
                if not self._mid_frame:
                    self._mid_frame = True  # nothing may follow a close frame
                    try:
                        await self._wire.send(frame)
                        if self._left is None:  # else the peer waits for our end, not we for its
                            await self._wire.finish()
                    except Gone:
                        self._closed = ABNORMAL

    async def _keep_alive(self) -> None:
        """Ping the peer every interval; drop it when the pong does not come."""
        await self._opened.wait()
        await trio.sleep(self._interval_s)
        while True:
            self._ponged = trio.Event()
            with trio.move_on_after(self._timeout_s) as sending:
                await self.send(frames.ping_frame(b"lictor"))
            if sending.cancelled_caught:
                return self._drop()
            while not self._ponged.is_set():
                with trio.move_on_after(self._timeout_s):
                    await self._ponged.wait()
                if not self._ponged.is_set() and self._receiving:
                    return self._drop()
            await trio.sleep(self._interval_s)

    def _drop(self) -> None:
        _log.info("The socket %s of %s no longer answers.", self.path, self.peer)
        self._closed = ABNORMAL
        self._wire.abort()
