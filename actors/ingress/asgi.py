"""The same site as an ASGI application, for the connections that hypercorn serves."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext, suppress
from typing import Any, Final

import trio

from lictor.actors.ingress.fastlane import PEER_BYTES_PER_S_MIN
from lictor.actors.ingress.frames import REASON_BYTES_MAX
from lictor.actors.ingress.http import Header, Request, Response
from lictor.actors.ingress.request_parser import Rejection
from lictor.actors.ingress.response_writer import is_bodiless, rejected
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import Binary, Disconnected, Frame, Ping, Text
from lictor.actors.ingress.websocket import ABNORMAL, INTERNAL_ERROR, SERVICE_RESTART
from lictor.actors.ingress.wire import LINGER_S

PING: Final = "lictor.websocket.ping"
PONG: Final = "lictor.websocket.pong"

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_log = logging.getLogger("lictor.ingress")


class Application:
    """An ASGI 3 application without a lifespan."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sockets: set[AsgiSocket] = set()
        self._stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    def stop(self) -> None:
        """End all sockets, and refuse new ones."""
        self._stopping = True
        for socket in list(self._sockets):
            socket.stop()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[Header] = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        body = await self._body(headers, receive)
        if body is None:
            return
        if isinstance(body, Rejection):
            # Closing is the only way past a body that was not read.
            extra = ((b"connection", b"close"),) if scope["http_version"] < "2" else ()
            answer = rejected(body)
            await _write(Response(answer.status, answer.body, headers=extra), send)
            return
        request = Request(
            scope["method"],
            _origin_form(scope["path"]),
            scope["query_string"],
            headers,
            body,
            scope["client"][0] if scope.get("client") else None,
            scope["scheme"],
        )
        response = await self._site.answer(request)
        if response.stream is None and self._site.compresses_for(request.peer):
            response = await self._site.compressed(request, response)
        await _write(response, send)

    async def _body(self, headers: list[Header], receive: Receive) -> bytes | Rejection | None:
        """The whole body, why it is refused, or None when the client left."""
        settings = self._site.settings
        body = bytearray()
        with trio.move_on_after(settings.http_request_s) as patience:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                body += part
                if len(body) > settings.api_body_bytes_max:
                    return await self._too_large(receive)
                if not message.get("more_body", False):
                    return bytes(body)
                patience.deadline += len(part) / PEER_BYTES_PER_S_MIN
        return Rejection(408, f"The request took more than {settings.http_request_s} s.")

    async def _too_large(self, receive: Receive) -> Rejection:
        """Discard the rest for a while: a client reads no answer before it has sent its body."""
        with trio.move_on_after(LINGER_S):
            while (await receive()).get("more_body", False):
                continue
        limit = self._site.settings.api_body_bytes_max
        return Rejection(413, f"The request body is larger than {limit} bytes.")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._site.socket(_origin_form(scope["path"]))
        socket = AsgiSocket(scope, receive, send)
        await receive()  # websocket.connect
        if handler is None or self._stopping:
            await socket.reject(403 if handler is None else 503)
            return
        self._sockets.add(socket)
        code = 1000
        try:
            with socket.scope:
                await handler(socket)
        except* Disconnected:
            pass  # the usual end
        except* Exception:
            _log.exception("The handler of the socket %s failed.", socket.path)
            code = INTERNAL_ERROR
        finally:
            self._sockets.discard(socket)
        await socket.end(code)


async def _write(response: Response, send: Send) -> None:
    headers = list(response.headers)
    if not is_bodiless(response.status):
        headers.append((b"content-type", response.media_type))
        if response.stream is None:
            headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    stream: Any = response.stream
    if stream is not None:
        async with aclosing(stream) if hasattr(stream, "aclose") else nullcontext():
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def _origin_form(path: str) -> str:
    """The path of an absolute target, which hypercorn passes on as it came."""
    return (
        path
        if path.startswith("/") or path == "*"
        else "/" + path.partition("://")[2].partition("/")[2]
    )


class AsgiSocket:
    """A `Socket` over ASGI, with pings in order by `hypercorn_lane.InOrder`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.path = _origin_form(scope["path"])
        self.query: bytes = scope["query_string"]
        self.headers: list[Header] = list(scope["headers"])
        self.subprotocols = tuple(scope.get("subprotocols", ()))
        self.peer: str | None = scope["client"][0] if scope.get("client") else None
        self.scope = trio.CancelScope()
        self._receive = receive
        self._send = send
        self._accepted = False
        self._closed: int | None = None
        self._stopping = False

    async def accept(self, subprotocol: str | None = None) -> None:
        self._accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})

    async def reject(self, status: int = 403) -> None:
        self._closed = ABNORMAL
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        body = b'{"detail":"Forbidden"}' if status == 403 else b'{"detail":"WebSocket refused"}'
        headers.append((b"content-length", b"%d" % len(body)))
        start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
        await self._send(start)
        await self._send({"type": "websocket.http.response.body", "body": body})

    async def receive(self) -> list[Frame]:
        if self._closed is not None:
            raise Disconnected(self._closed)
        message = await self._receive()
        if message["type"] == PING:
            return [Ping(message["payload"])]
        if message["type"] != "websocket.receive":
            self._closed = int(message.get("code", ABNORMAL))
            raise Disconnected(self._closed)
        if message.get("text") is not None:
            return [Text(message["text"].encode())]
        return [Binary(message["bytes"])]

    async def send(self, frames: bytes) -> None:
        for is_text, payload in _messages(frames):
            content = {"text": payload.decode()} if is_text else {"bytes": payload}
            await self._put({"type": "websocket.send", **content})

    async def pong(self, payload: bytes) -> None:
        await self._put({"type": PONG, "payload": payload})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._stopping:  # so that a client comes back, whatever a cancelled handler says
            code, reason = SERVICE_RESTART, "The server is stopping"
        if self._closed is None:
            self._closed = code
            text = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
            with suppress(OSError):  # gone already
                await self._send({"type": "websocket.close", "code": code, "reason": text})

    async def _put(self, message: Message) -> None:
        if self._closed is not None:
            raise Disconnected(self._closed)
        try:
            await self._send(message)
        except OSError:
            self._closed = ABNORMAL
            raise Disconnected from None

    def stop(self) -> None:
        """Begin to end the socket because the server stops."""
        self._stopping = True
        self.scope.cancel()

    async def end(self, code: int) -> None:
        """End the socket in its handler's name, if the handler did not."""
        if not self._accepted:
            if self._closed is None:
                await self.reject(503 if self._stopping else 500)
        else:
            await self.close(code, "" if code == 1000 else "Internal error")


def _messages(frames: bytes) -> list[tuple[bool, bytes]]:
    """The payloads of ready-made server frames, and whether each is text: see `text_frame`."""
    found, position = [], 0
    while position < len(frames):
        size, start = frames[position + 1], position + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(frames[start : start + width], "big"), start + width
        found.append((frames[position] == 0x81, frames[start : start + size]))
        position = start + size
    return found
