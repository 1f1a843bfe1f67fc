"""The fast lane: HTTP/1.1 connections served in one task each, without a server framework between.

The connection's task reads, feeds the parser, awaits the API's `Handle` and writes the answer with
one system call. What it does not speak (HTTP/2) it gives back with the bytes it has read.

Phases: IDLE between requests (a stop ends the connection at once), READING part of a request (a
time limit answers 408), BUSY answering (no limit but the writer's), SOCKET after an upgrade.

Fails   whatever goes wrong in one connection ends that connection: see `Server.connection`.
"""

from __future__ import annotations

import enum
from contextlib import aclosing, nullcontext
from math import inf
from typing import Any, Final

import trio

from lictor.actors.ingress import response_writer as writer
from lictor.actors.ingress.http import Response
from lictor.actors.ingress.request_parser import H2_PREFACE, Incoming, Rejection, RequestParser
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import SocketHandler
from lictor.actors.ingress.watch import Watch
from lictor.actors.ingress.websocket import LaneSocket, handshake_fault
from lictor.actors.ingress.wire import Gone, Wire

PEER_BYTES_PER_S_MIN: Final = 8 * 1024
"""A peer that is slower than this, up or down, is cut off."""


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()
    READING = enum.auto()
    BUSY = enum.auto()
    SOCKET = enum.auto()


class Lane:
    """One connection. With `http` off only its sockets are served here, and rejections."""

    def __init__(
        self, site: Site, watch: Watch, wire: Wire, peer: str | None, scheme: str, *, http: bool
    ) -> None:
        self.deadline_s = inf
        self._site = site
        self._watch = watch
        self._wire = wire
        self._http = http
        self._settings = site.settings
        self._parser = RequestParser(
            body_bytes_max=site.settings.api_body_bytes_max, peer=peer, scheme=scheme
        )
        self._compresses = site.compresses_for(peer)
        self._phase = Phase.IDLE
        self._request_began_s = 0.0
        self._scope = trio.CancelScope()
        self._socket: LaneSocket | None = None

    async def run(self) -> bytes | None:
        """Serve until the end; the bytes read, if the connection is for another protocol."""
        self._watch.watched.add(self)
        try:
            with self._scope:
                return await self._serve()
            if self._phase is Phase.READING and not self._watch.stopping:
                limit_s = self._settings.http_request_s
                await self._reject(Rejection(408, f"The request took more than {limit_s} s."))
        except Gone:
            pass  # nobody is there any more
        finally:
            self._watch.watched.discard(self)
        return None

    # What the watch calls.

    def expire(self) -> None:
        self._scope.cancel()

    def stop(self) -> None:
        if self._phase is Phase.IDLE:
            self._scope.cancel()
        elif self._socket is not None:
            self._socket.stop()

    # Reading.

    async def _serve(self) -> bytes | None:
        parser = self._parser
        data = await self._first()
        if data.startswith(H2_PREFACE[:14]):
            return data
        parser.feed(data)
        if not self._http:
            replay = await self._until_head(data)
            if replay is not None:
                return replay
        while True:
            while parser.ready:
                if not await self._answer(parser.ready.popleft()):
                    await self._wire.finish()
                    return None
                if parser.ready or parser.started:
                    await trio.lowlevel.checkpoint()  # pipelined: let others have a turn
            if parser.upgrade is not None:
                await self._serve_socket(parser.upgrade)
                return None
            if parser.rejection is not None:
                await self._reject(parser.rejection)
                return None
            if parser.awaits_continue:
                parser.awaits_continue = False
                await self._wire.send(writer.CONTINUE)
            if self._watch.stopping and not parser.started:
                return None
            data = await self._receive()
            if not data or self._scope.cancel_called:
                return None
            parser.feed(data)

    async def _first(self) -> bytes:
        """The first bytes, enough of them to tell HTTP/2 by its preface."""
        data = await self._receive()
        while data and len(data) < 14 and H2_PREFACE.startswith(data):
            self._phase = Phase.READING
            more = await self._receive()
            data = data + more if more else more
        if not data or self._scope.cancel_called:
            raise Gone
        return data

    async def _until_head(self, data: bytes) -> bytes | None:
        """Read the first request's head; what was read, or None if it is to be served here."""
        parser = self._parser
        while True:
            if parser.upgrade is not None or (parser.rejection is not None and not parser.ready):
                return None
            if parser.head_done or parser.ready:
                return data
            more = await self._receive()
            if not more or self._scope.cancel_called:
                raise Gone
            data += more
            parser.feed(more)

    async def _receive(self) -> bytes:
        parser, now_s = self._parser, self._watch.now_s
        if parser.started:
            if self._phase is not Phase.READING:
                self._phase, self._request_began_s = Phase.READING, now_s
            allowed_s = self._settings.http_request_s + parser.waiting_bytes / PEER_BYTES_PER_S_MIN
            self.deadline_s = self._request_began_s + allowed_s
        else:
            self._phase = Phase.IDLE
            self.deadline_s = now_s + self._settings.keep_alive_s
        data = await self._wire.receive()
        self.deadline_s = inf
        return data

    # Answering.

    async def _answer(self, incoming: Incoming) -> bool:
        """Answer one request; whether the connection lives on."""
        self._phase = Phase.BUSY
        request = incoming.request
        response = await self._site.answer(request)
        to_head = request.method == "HEAD"
        if response.stream is not None:
            return await self._stream(incoming, response, to_head)
        if self._compresses:
            response = await self._site.compressed(request, response)
        closes = not incoming.keep_alive or self._watch.stopping
        await self._send(writer.whole(response, self._watch.date, to_head=to_head, closes=closes))
        return not closes

    async def _stream(self, incoming: Incoming, response: Response, to_head: bool) -> bool:
        """Answer in pieces: chunked, or up to the connection's end for HTTP/1.0."""
        chunked = incoming.chunkable
        closes = not incoming.keep_alive or self._watch.stopping or not chunked
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        await self._send(writer.head(response, self._watch.date, framing, closes=closes))
        stream: Any = response.stream
        async with aclosing(stream) if hasattr(stream, "aclose") else nullcontext():
            if to_head or writer.is_bodiless(response.status):
                return not closes
            async for piece in stream:
                if piece:
                    await self._send(writer.chunk(piece) if chunked else piece)
        if chunked:
            await self._send(writer.LAST_CHUNK)
        return not closes

    async def _send(self, data: bytes) -> None:
        limit_s = self._settings.http_request_s + len(data) / PEER_BYTES_PER_S_MIN
        self.deadline_s = self._watch.now_s + limit_s
        await self._wire.send(data)
        self.deadline_s = inf

    async def _reject(self, rejection: Rejection) -> None:
        self._phase = Phase.BUSY
        response = writer.rejected(rejection)
        if rejection.status == 426:
            response = Response(426, response.body, headers=((b"sec-websocket-version", b"13"),))
        await self._send(writer.whole(response, self._watch.date, to_head=False, closes=True))
        await self._wire.finish()

    # Sockets.

    async def _serve_socket(self, incoming: Incoming) -> None:
        fault = handshake_fault(incoming.request)
        handler: SocketHandler | None = self._site.socket(incoming.request.path)
        if fault is None and handler is None:
            fault = Rejection(403, "There is no WebSocket at this path.")
        if fault is None and self._watch.stopping:
            fault = Rejection(503, "The server is stopping.")
        if fault is not None or handler is None:
            await self._reject(fault or Rejection(403, "Forbidden"))
            return
        self._phase = Phase.SOCKET
        socket = LaneSocket(self._site, self._wire, incoming.request, self._parser.upgrade_rest)
        self._socket = socket
        await socket.run(handler)
        if socket.rejected is not None:
            await self._reject(socket.rejected)
