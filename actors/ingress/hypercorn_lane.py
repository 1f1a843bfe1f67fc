"""Connections the fast lane does not speak, served by hypercorn: HTTP/2, or all if the lane is off.

hypercorn's connection class is used directly, under lictor's own listeners, limits and shutdown.
Its `worker_serve` would bring a nursery that any faulty connection tears down, and with it the
process (a WebSocket upgrade followed by one byte is enough); here a fault ends its connection only.

hypercorn answers WebSocket pings by itself, ahead of the frames before them, which would break the
promise of `/events/in`. `InOrder` replaces its WebSocket stream by one that hands pings to the
application and sends pongs when told.

Names of hypercorn that are not documented are used here and nowhere else; `faults` checks them
against the installed version.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any, Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol import h2, h11
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from wsproto.connection import ConnectionState as WebSocketState
from wsproto.events import CloseConnection, Message, Ping, Pong

from lictor.actors.ingress.asgi import PING, PONG, Application
from lictor.actors.ingress.request_parser import HEAD_BYTES_MAX
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.websocket import MESSAGE_SLACK_BYTES

STREAMS_MAX: Final = 100
_TCP_SERVER_TAKES: Final = ["app", "config", "context", "state", "stream"]


class LaneConfig(Config):
    """hypercorn's configuration, and what `InOrder` needs besides."""

    ping_interval_s: float
    ping_timeout_s: float


class InOrder(WSStream):
    """hypercorn's WebSocket stream with pings as messages (`asgi.PING`, `asgi.PONG`)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._putting: trio.CancelScope | None = None
        self._ponged = trio.Event()
        self._returned = trio.Event()

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Ping):
                await self._put({"type": PING, "payload": bytes(event.payload)})
            elif isinstance(event, Message):
                if not await self._extend(event):
                    return
            elif isinstance(event, Pong):
                self._ponged.set()
            elif isinstance(event, CloseConnection):
                if self.connection.state == WebSocketState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                await self._put({"type": "websocket.disconnect", "code": event.code})
                self.app_put = None  # the stream's end would tell the application again
                return

    async def _extend(self, event: Message[Any]) -> bool:
        """Add to the message that is arriving; False when it has become too large."""
        if self.buffer.length + len(event.data) > self.buffer.max_length:
            await self._send_wsproto_event(CloseConnection(code=1009))
            await self._put({"type": "websocket.disconnect", "code": 1009})
            self.app_put = None
            return False
        self.buffer.extend(event)
        if event.message_finished:
            await self._put(self.buffer.to_message())
            self.buffer.clear()
        return True

    async def _put(self, message: dict[str, Any]) -> None:
        """Give the application a message; while it does not take it, nothing more is read."""
        if self.app_put is not None:
            with trio.CancelScope() as self._putting:
                await self.app_put(message)
            self._putting = None

    async def _send_pings(self) -> None:
        """Ping every interval, and drop a peer that does not answer while it is being read."""
        config = cast(LaneConfig, self.config)
        while True:
            with trio.move_on_after(config.ping_interval_s):
                await self._returned.wait()
                return
            self._ponged = trio.Event()
            with trio.move_on_after(config.ping_timeout_s) as sending:
                await self._send_wsproto_event(Ping(b"lictor"))
            if sending.cancelled_caught:
                await self._drop()
                return
            while not self._ponged.is_set() and not self.closed:
                with trio.move_on_after(config.ping_timeout_s):
                    await self._ponged.wait()
                if not self._ponged.is_set() and self._putting is None:
                    await self._drop()
                    return

    async def _drop(self) -> None:
        await self._put({"type": "websocket.disconnect", "code": 1006})
        self.app_put = None
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def app_send(self, message: Any) -> None:
        if message is None:  # the application has returned: nobody takes messages any more
            self.app_put = None
            self._returned.set()
            self._ponged.set()
            if self._putting is not None:
                self._putting.cancel()
        elif self.closed:  # as ASGI asks; hypercorn would let the application write on for ever
            raise OSError("The peer has left.")
        elif message["type"] == PONG:
            await self._send_wsproto_event(Pong(message["payload"]))
            return
        await super().app_send(message)


class HypercornLane:
    """hypercorn for the connections of one server."""

    def __init__(self, site: Site) -> None:
        settings = site.settings
        config = LaneConfig()
        config.errorlog = logging.getLogger("lictor.ingress.hypercorn")
        config.include_server_header = False
        config.keep_alive_timeout = settings.keep_alive_s
        config.h11_max_incomplete_size = HEAD_BYTES_MAX
        config.h2_max_concurrent_streams = STREAMS_MAX
        config.h2_max_header_list_size = HEAD_BYTES_MAX
        config.websocket_max_message_size = settings.events_bytes_max + MESSAGE_SLACK_BYTES
        config.websocket_ping_interval = settings.websocket_ping_interval_s
        config.ping_interval_s = settings.websocket_ping_interval_s
        config.ping_timeout_s = settings.websocket_ping_timeout_s
        found = faults()
        if found:
            raise RuntimeError(f"This version of hypercorn cannot be used: {'; '.join(found)}.")
        for module in (h11, h2):
            module.__dict__["WSStream"] = InOrder
        self._config = config
        self._context = WorkerContext(None)
        self._application = Application(site)

    async def serve(
        self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream], read: bytes
    ) -> None:
        """Serve a connection of which `read` has been read already."""
        wrapped: Any = Replay(stream, read)
        application = ASGIWrapper(cast(ASGIFramework, self._application))
        await TCPServer(
            application, self._config, self._context, ConnectionState({}), wrapped
        ).run()

    async def stop(self) -> None:
        """Close idle connections; the others end with their request, sockets with 1012."""
        self._application.stop()
        await self._context.terminated.set()


class Replay:
    """A stream that first gives what was read from it before."""

    def __init__(self, stream: Any, read: bytes) -> None:
        self._stream = stream
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._read:
            read, self._read = self._read, b""
            await trio.lowlevel.checkpoint()
            return read
        return bytes(await self._stream.receive_some(max_bytes))


def faults() -> list[str]:
    """What the installed hypercorn lacks of what is used here; empty when all is there."""
    found = []
    if list(inspect.signature(TCPServer).parameters) != _TCP_SERVER_TAKES:
        found.append(f"TCPServer does not take {_TCP_SERVER_TAKES}")
    for name in ("_handle_events", "_send_pings", "_send_wsproto_event", "app_send"):
        if not callable(getattr(WSStream, name, None)):
            found.append(f"WSStream.{name} is missing")
    for module in (h11, h2):
        if not hasattr(module, "WSStream"):
            found.append(f"{module.__name__}.WSStream is missing")
    if not hasattr(WorkerContext(None), "terminated"):
        found.append("WorkerContext.terminated is missing")
    return found
