"""A WebSocket client that can also do what a client must not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from http_peers import Edge, Peer, get
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Pong, TextMessage

UPGRADE = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def upgrade(path: str = "/api/s", *headers: str) -> bytes:
    return get(path, *UPGRADE, *headers)


class WsPeer:
    """After the handshake: events go out through `send`, bytes through `peer`."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.protocol = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    def frames(self, *events: Event) -> bytes:
        return b"".join(self.protocol.send(event) for event in events)

    async def send(self, *events: Event) -> None:
        await self.peer.send(self.frames(*events))

    async def event(self) -> Event:
        while not self._events:
            data, self.peer.buffer = self.peer.buffer, b""
            if not data:
                await self.peer._more()
                continue
            self.protocol.receive_data(data)
            self._events.extend(self.protocol.events())
        return self._events.pop(0)

    async def text(self) -> str:
        event = await self.event()
        assert isinstance(event, TextMessage), event
        return event.data

    async def pong(self) -> bytes:
        event = await self.event()
        assert isinstance(event, Pong), event
        return bytes(event.payload)

    async def closed(self) -> tuple[int, str]:
        event = await self.event()
        assert isinstance(event, CloseConnection), event
        return event.code, event.reason or ""


@asynccontextmanager
async def ws_peer(
    edge: Edge, path: str = "/api/s", *headers: str, before: bytes = b""
) -> AsyncIterator[WsPeer]:
    """Connect and upgrade; `before` is sent first, and its answer is read."""
    async with edge.peer() as peer:
        if before:
            assert (await peer.ask(before)).status == 200
        got = await peer.ask(upgrade(path, *headers))
        assert got.status == 101, got
        assert got.headers[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        yield WsPeer(peer)
