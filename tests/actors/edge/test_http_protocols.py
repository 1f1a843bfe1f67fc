"""TLS and HTTP/2: the same site by other ways, and what each of them loads."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from http_peers import Edge, Peer, Serving, echo, get, post
from test_http_websockets import Recorder
from ws_peers import WsPeer, upgrade
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from lictor.actors.ingress import hypercorn_lane, socket
from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import Disconnected, Socket
from lictor.config.settings import Settings

PEM = Path(__file__).parent / "localhost.pem"


@asynccontextmanager
async def tls_peer(edge: Edge, *protocols: str) -> AsyncIterator[Peer]:
    context = ssl.create_default_context(cafile=PEM)
    context.set_alpn_protocols(list(protocols) or ["http/1.1"])
    stream = await trio.open_ssl_over_tcp_stream(
        "localhost", edge.port, ssl_context=context, https_compatible=True
    )
    try:
        yield Peer(stream)  # type: ignore[arg-type]  # nothing here half-closes it
    finally:
        await trio.aclose_forcefully(stream)


class H2Peer:
    """A client of HTTP/2, one exchange at a time."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()

    async def flush(self) -> None:
        await self.peer.send(self.h2.data_to_send())

    async def events(self) -> list[Event]:
        if not self.peer.buffer:
            await self.peer._more()
        data, self.peer.buffer = self.peer.buffer, b""
        found = self.h2.receive_data(data)
        for event in found:
            if isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()
        return found

    async def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **extra: str
    ) -> tuple[int, bytes]:
        stream_id = self.h2.get_next_available_stream_id()
        headers = {":method": method, ":path": path, ":scheme": "http", ":authority": "test"}
        self.h2.send_headers(stream_id, [*headers.items(), *extra.items()], end_stream=not body)
        for at in range(0, len(body), 16_384):
            part = body[at : at + 16_384]
            while self.h2.local_flow_control_window(stream_id) < len(part):
                await self.flush()
                await self.events()
            self.h2.send_data(stream_id, part, end_stream=at + 16_384 >= len(body))
        await self.flush()
        status, got = 0, b""
        while True:
            for event in await self.events():
                if isinstance(event, ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    got += event.data
                elif isinstance(event, StreamEnded | StreamReset):
                    return status, got


async def test_http_1_and_its_sockets_work_over_tls(serving: Serving) -> None:
    schemes: list[str] = []

    async def handle(request: Request) -> Response:
        schemes.append(request.scheme)
        return await echo(request)

    recorder = Recorder()
    async with serving(handle, {"/s": recorder}, tls_certificate=PEM) as edge:
        assert edge.url.startswith("https://127.0.0.1:")
        async with tls_peer(edge) as peer:
            assert (await peer.ask(post(b"x" * 90_000))).json()["size"] == 90_000
            assert (await peer.ask(get())).status == 200
        async with tls_peer(edge) as peer:
            assert (await peer.ask(upgrade())).status == 101
            ws = WsPeer(peer)
            await ws.send(TextMessage(data="a"), Ping(b"b"), CloseConnection(code=1001))
            assert (await ws.closed())[0] == 1001
            await recorder.ended.wait()
    assert recorder.frames == [socket.Text(b"a"), socket.Ping(b"b")]
    assert schemes == ["https", "https"]


@pytest.mark.parametrize("certificate", [None, PEM], ids=["clear", "tls"])
async def test_http_2_is_served_over_tls_and_in_the_clear(
    serving: Serving, certificate: Path | None
) -> None:
    async with serving(tls_certificate=certificate) as edge:
        connect = tls_peer(edge, "h2") if certificate else edge.peer()
        async with connect as peer:
            client = H2Peer(peer)
            status, body = await client.ask("/api/a%20b?c")
            assert (status, b'"path":"/api/a b"' in body) == (200, True)
            status, body = await client.ask("/api/x", "POST", b"y" * 90_000)
            assert (status, b'"size":90000' in body) == (200, True)
            status, body = await client.ask("/api/x", "POST", b"y" * 100_001)
            assert (status, b"100000 bytes" in body) == (413, True)
            assert (await client.ask("/nowhere"))[0] == 404


async def test_the_preface_of_http_2_may_arrive_byte_by_byte(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        client = H2Peer(peer)
        for byte in client.h2.data_to_send():
            await peer.send(bytes((byte,)))
            await trio.testing.wait_all_tasks_blocked()
        assert (await client.ask("/api/x"))[0] == 200


async def test_a_socket_over_http_2_keeps_pings_in_order(serving: Serving) -> None:
    order: list[socket.Frame] = []

    async def handler(sock: Socket) -> None:
        await sock.accept("prefect")
        while len(order) < 2:
            order.extend(await sock.receive())
        await sock.send(socket.text_frame(b"first"))
        await sock.pong(b"p")
        with pytest.raises(Disconnected):
            await sock.receive()

    async with serving(sockets={"/s": handler}) as edge, edge.peer() as peer:
        client = H2Peer(peer)
        await client.flush()
        await client.events()
        stream_id = client.h2.get_next_available_stream_id()
        headers = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":path": "/api/s",
            ":scheme": "http",
            ":authority": "test",
            "sec-websocket-version": "13",
            "sec-websocket-protocol": "prefect",
        }
        client.h2.send_headers(stream_id, list(headers.items()))
        frames = Connection(ConnectionType.CLIENT)
        data = frames.send(TextMessage(data="a")) + frames.send(Ping(b"p"))
        got: list[Any] = []
        await client.flush()
        while len(got) < 2:
            for event in await client.events():
                if isinstance(event, ResponseReceived):
                    assert dict(event.headers)[b":status"] == b"200"
                    client.h2.send_data(stream_id, data)
                    await client.flush()
                elif isinstance(event, DataReceived):
                    frames.receive_data(event.data)
                    got.extend(frames.events())
        assert got == [TextMessage(data="first"), Pong(b"p")]
        client.h2.send_data(stream_id, frames.send(CloseConnection(code=1000)))
        await client.flush()
    assert order == [socket.Text(b"a"), socket.Ping(b"p")]


async def test_a_peer_that_speaks_no_tls_harms_nobody(serving: Serving) -> None:
    async with serving(tls_certificate=PEM) as edge:
        async with edge.peer() as peer:
            await peer.send(get())
            await peer.rest()
        async with tls_peer(edge) as peer:
            assert (await peer.ask(get())).status == 200


async def test_tls_files_that_cannot_be_read_are_an_error_of_the_caller(
    serving: Serving, tmp_path: Path
) -> None:
    with pytest.RaisesGroup(FileNotFoundError, flatten_subgroups=True):
        async with serving(tls_certificate=tmp_path / "none.pem"):
            raise AssertionError


def test_the_installed_hypercorn_has_what_is_used_of_it() -> None:
    assert hypercorn_lane.faults() == []


def test_a_hypercorn_without_it_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(hypercorn_lane.WSStream, "_handle_events")
    with pytest.raises(RuntimeError, match=r"WSStream\._handle_events is missing"):
        hypercorn_lane.HypercornLane(Site(Settings(), echo, {}))


def test_the_fast_lane_loads_no_web_framework() -> None:
    code = (
        "import sys, lictor.actors.ingress.server\n"
        "print([m for m in ('hypercorn', 'quart', 'flask', 'h11', 'h2', 'wsproto')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
