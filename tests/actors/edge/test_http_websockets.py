"""API sockets: frames in order, pongs only when told, and every way to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from http_peers import Serving, get, pass_time
from ws_peers import UPGRADE, WsPeer, upgrade, ws_peer
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from lictor.actors.ingress import socket as contract
from lictor.actors.ingress.frames import unmasked
from lictor.actors.ingress.socket import Disconnected, Frame, Socket, text_frame

Handler = Callable[[Socket], Awaitable[None]]
FALLBACK = [b"", get("/api/first")]  # with one before it, hypercorn has the connection


def masked(first: int, payload: bytes, mask: bytes = b"abcd") -> bytes:
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + mask + unmasked(payload, mask)


class Recorder:
    """Accepts, then keeps batches of frames until the end."""

    def __init__(self, subprotocol: str | None = None) -> None:
        self.batches: list[list[Frame]] = []
        self.code = 0
        self.ended = trio.Event()
        self.socket: Socket | None = None
        self._subprotocol = subprotocol

    async def __call__(self, socket: Socket) -> None:
        self.socket = socket
        await socket.accept(self._subprotocol)
        try:
            while True:
                self.batches.append(await socket.receive())
        except Disconnected as gone:
            self.code = gone.code
            raise
        finally:
            self.ended.set()

    @property
    def frames(self) -> list[Frame]:
        return [frame for batch in self.batches for frame in batch]


async def echo(socket: Socket) -> None:
    await socket.accept()
    while True:
        for frame in await socket.receive():
            if isinstance(frame, contract.Ping):
                await socket.pong(frame.payload)
            else:
                await socket.send(text_frame(frame.data))


async def test_messages_of_every_size_come_back(serving: Serving) -> None:
    async with serving(sockets={"/s": echo}) as edge, ws_peer(edge) as peer:
        for size in (0, 1, 125, 126, 65_535, 65_536, 300_000):
            text = "é" * (size // 2) + "x" * (size % 2)
            await peer.send(TextMessage(data=text))
            got = ""
            while len(got) < len(text) or not size:
                got += await peer.text()
                if not size:
                    break
            assert got == text


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_frames_arrive_in_order_and_nothing_answers_a_ping_but_the_handler(
    serving: Serving, before: bytes
) -> None:
    order: list[Frame] = []
    committed = trio.Event()

    async def handler(socket: Socket) -> None:
        await socket.accept()
        while len(order) < 5:
            order.extend(await socket.receive())
        await committed.wait()
        await socket.pong(b"1")
        await socket.pong(b"2")
        await socket.receive()

    async with serving(sockets={"/s": handler}) as edge, ws_peer(edge, before=before) as peer:
        await peer.send(
            TextMessage(data="a"),
            Ping(b"1"),
            TextMessage(data="b", message_finished=False),
            Ping(b"2"),
            TextMessage(data="c"),
            BytesMessage(data=b"d"),
        )
        await trio.testing.wait_all_tasks_blocked()
        assert peer.peer.buffer == b""
        with trio.move_on_after(0):
            await peer.peer._more()
        assert peer.peer.buffer == b"", "a pong went out before the commit"
        committed.set()
        assert [await peer.pong(), await peer.pong()] == [b"1", b"2"]
    assert order == [
        contract.Text(b"a"),
        contract.Ping(b"1"),
        contract.Ping(b"2"),
        contract.Text(b"bc"),
        contract.Binary(b"d"),
    ]


async def test_what_arrived_together_is_received_together(serving: Serving) -> None:
    recorder = Recorder()
    async with serving(sockets={"/s": recorder}) as edge, edge.peer() as peer:
        frames = b"".join(masked(0x81, b"%d" % number) for number in range(1000))
        await peer.send(upgrade() + frames)
        await peer.answer()
        await peer.stream.send_eof()
        await recorder.ended.wait()
    assert recorder.frames == [contract.Text(b"%d" % number) for number in range(1000)]
    assert len(recorder.batches) == 1
    assert recorder.code == 1006


async def test_the_socket_tells_what_the_client_asked_for(serving: Serving) -> None:
    recorder = Recorder("prefect")
    headers = ("Sec-WebSocket-Protocol: one, prefect", "Sec-WebSocket-Protocol: three")
    async with serving(sockets={"/s": recorder}) as edge, edge.peer() as peer:
        got = await peer.ask(upgrade("/api/s?a=b", *headers))
        assert got.headers[b"sec-websocket-protocol"] == b"prefect"
        socket = recorder.socket
        assert socket is not None
        assert socket.subprotocols == ("one", "prefect", "three")
        assert (socket.path, socket.query, socket.peer) == ("/api/s", b"a=b", "127.0.0.1")
        assert (b"sec-websocket-version", b"13") in socket.headers


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
@pytest.mark.parametrize("path", ["/api/unknown", "/s", "/api/s/"])
async def test_an_unknown_path_is_a_403(serving: Serving, path: str, before: bytes) -> None:
    async with serving(sockets={"/s": echo}) as edge, edge.peer() as peer:
        if before:
            await peer.ask(before)
        got = await peer.ask(upgrade(path))
        assert (got.status, list(got.json())) == (403, ["detail"])


async def test_a_faulty_handshake_is_refused(serving: Serving) -> None:
    async with serving(sockets={"/s": echo}) as edge:
        for data, status in (
            (upgrade().replace(b"Version: 13", b"Version: 8"), 426),
            (upgrade().replace(b"Key: dGhl", b"Key: "), 400),
            (upgrade().replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
            (upgrade().replace(b"GET", b"POST"), 400),
        ):
            async with edge.peer() as peer:
                assert (await peer.ask(data)).status == status


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_handler_can_turn_a_client_away(serving: Serving, before: bytes) -> None:
    async def handler(socket: Socket) -> None:
        await socket.reject(403)

    async with serving(sockets={"/s": handler}) as edge, edge.peer() as peer:
        if before:
            await peer.ask(before)
        assert (await peer.ask(upgrade())).status == 403
        assert await peer.at_end()


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_the_peers_close_reaches_the_handler_and_is_answered(
    serving: Serving, before: bytes
) -> None:
    recorder = Recorder()
    async with (
        serving(sockets={"/s": recorder}) as edge,
        ws_peer(edge, before=before) as peer,
    ):
        await peer.send(TextMessage(data="last"), CloseConnection(code=4000, reason="bye"))
        assert (await peer.closed())[0] == 4000
        assert await peer.peer.at_end()
        await recorder.ended.wait()
    assert (recorder.frames, recorder.code) == ([contract.Text(b"last")], 4000)


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_peer_that_vanishes_is_a_1006(serving: Serving, before: bytes) -> None:
    recorder = Recorder()
    async with serving(sockets={"/s": recorder}) as edge:
        async with ws_peer(edge, before=before) as peer:
            await trio.aclose_forcefully(peer.peer.stream)
        await recorder.ended.wait()
    assert recorder.code == 1006


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_handler_ends_its_socket_with_the_right_code(
    serving: Serving, before: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def returns(socket: Socket) -> None:
        await socket.accept()

    async def fails(socket: Socket) -> None:
        await socket.accept()
        raise KeyError("bug")

    async def closes(socket: Socket) -> None:
        await socket.accept()
        await socket.close(1008, "é" * 100)
        with pytest.raises(Disconnected):
            await socket.send(text_frame(b"late"))

    sockets = {"/returns": returns, "/fails": fails, "/closes": closes}
    async with serving(sockets=sockets) as edge:
        for path, expected in (
            ("/api/returns", (1000, "")),
            ("/api/fails", (1011, "Internal error")),
            ("/api/closes", (1008, "é" * 61)),
        ):
            async with ws_peer(edge, path, before=before) as peer:
                assert await peer.closed() == expected
    assert "/api/fails" in caplog.text


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_stop_closes_sockets_with_1012(
    serving: Serving, mock_clock: trio.testing.MockClock, before: bytes
) -> None:
    recorder = Recorder()
    async with (
        serving(sockets={"/s": recorder}) as edge,
        ws_peer(edge, before=before) as peer,
    ):
        await peer.send(TextMessage(data="here"))
        while not recorder.batches:
            await trio.testing.wait_all_tasks_blocked()
        edge.shutdown.set()
        assert (await peer.closed())[0] == 1012
        await peer.peer.stream.aclose()
        await pass_time(mock_clock, edge.ended.is_set, 3)


BREACHES = {
    "unmasked": (b"\x81\x01a", 1002),
    "a reserved bit": (masked(0xC1, b"a"), 1002),
    "an unknown opcode": (masked(0x83, b"a"), 1002),
    "a continuation of nothing": (masked(0x80, b"a"), 1002),
    "a message inside a message": (masked(0x01, b"a") + masked(0x81, b"b"), 1002),
    "a fragmented ping": (masked(0x09, b"a"), 1002),
    "a ping that is too long": (b"\x89\xfe\x00\x7eabcd" + b"a" * 126, 1002),
    "text that is not UTF-8": (masked(0x81, b"\xff"), 1007),
    "a close code that is reserved": (masked(0x88, b"\x03\xed"), 1002),
    "half a close code": (masked(0x88, b"\x03"), 1002),
    "a message that is too large": (b"\x81\xff" + (1 << 21).to_bytes(8, "big") + b"abcd", 1009),
}


@pytest.mark.parametrize(("data", "code"), BREACHES.values(), ids=BREACHES.keys())
async def test_a_breach_of_the_protocol_closes_after_what_came_before_it(
    data: bytes, code: int, serving: Serving
) -> None:
    recorder = Recorder()
    async with serving(sockets={"/s": recorder}) as edge, ws_peer(edge) as peer:
        await peer.peer.send(masked(0x81, b"good") + data)
        assert (await peer.closed())[0] == code
        await peer.peer.stream.aclose()
        await recorder.ended.wait()
    assert recorder.frames[0] == contract.Text(b"good")
    assert len(recorder.frames) == 1
    assert recorder.code == code


async def test_fragments_together_may_not_be_larger_than_a_message(serving: Serving) -> None:
    recorder = Recorder()
    async with (
        serving(sockets={"/s": recorder}, events_bytes_max=100_000) as edge,
        ws_peer(edge) as peer,
    ):
        await peer.send(TextMessage(data="x" * 100_000))
        await peer.send(TextMessage(data="x" * 100_000, message_finished=False))
        await peer.send(TextMessage(data="x" * 100_000, message_finished=False))
        assert (await peer.closed())[0] == 1009
    assert recorder.frames == [contract.Text(b"x" * 100_000)]


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_the_server_pings_and_drops_a_peer_that_does_not_answer(
    serving: Serving, mock_clock: trio.testing.MockClock, before: bytes
) -> None:
    recorder = Recorder()
    async with serving(sockets={"/s": recorder}) as edge, ws_peer(edge, before=before) as peer:
        for _ in range(5):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(20)
            ping = await peer.event()
            assert isinstance(ping, Ping)
            await peer.send(Pong(ping.payload))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(20)
        assert isinstance(await peer.event(), Ping)
        assert not recorder.ended.is_set()
        await pass_time(mock_clock, recorder.ended.is_set, 25)
        assert await peer.peer.at_end()
    assert recorder.code == 1006


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_pong_that_waits_behind_a_busy_handler_drops_nobody(
    serving: Serving, mock_clock: trio.testing.MockClock, before: bytes
) -> None:
    go_on, seen = trio.Event(), trio.Event()

    async def handler(socket: Socket) -> None:
        await socket.accept()
        await socket.receive()
        seen.set()
        await go_on.wait()
        await socket.send(text_frame(b"still here"))
        await socket.receive()

    async with serving(sockets={"/s": handler}) as edge, ws_peer(edge, before=before) as peer:
        await peer.send(TextMessage(data="work"))
        await seen.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings_until, peer, TextMessage(data="still here"))
            for _ in range(120):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(1)
            go_on.set()


async def answer_pings_until(peer: WsPeer, last: TextMessage) -> None:
    while (event := await peer.event()) != last:
        assert isinstance(event, Ping)
        await peer.send(Pong(event.payload))


@pytest.mark.parametrize("before", FALLBACK, ids=["first", "later"])
async def test_a_peer_that_does_not_read_is_dropped(
    serving: Serving, mock_clock: trio.testing.MockClock, before: bytes
) -> None:
    ended = trio.Event()

    async def handler(socket: Socket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send(text_frame(b"x" * 60_000))
        finally:
            ended.set()

    async with serving(sockets={"/s": handler}) as edge, edge.peer() as peer:
        if before:
            await peer.ask(before)
        await peer.send(upgrade())
        await pass_time(mock_clock, ended.is_set, 120)


async def test_several_tasks_may_send_and_frames_stay_whole(serving: Serving) -> None:
    async def handler(socket: Socket) -> None:
        await socket.accept()

        async def sender(letter: bytes) -> None:
            for _ in range(20):
                await socket.send(text_frame(letter * 200_000))

        async with trio.open_nursery() as nursery:
            for letter in (b"a", b"b", b"c"):
                nursery.start_soon(sender, letter)

    async with serving(sockets={"/s": handler}) as edge, ws_peer(edge) as peer:
        whole = 0
        text = ""
        while whole < 60:
            event = await peer.event()
            assert isinstance(event, TextMessage)
            text += event.data
            if event.message_finished:
                assert text == text[0] * 200_000
                text, whole = "", whole + 1
        assert await peer.closed() == (1000, "")


async def test_an_http_request_with_websocket_headers_needs_the_upgrade(
    serving: Serving,
) -> None:
    async with serving(sockets={"/s": echo}) as edge, edge.peer() as peer:
        assert (await peer.ask(get("/api/s", *UPGRADE[2:]))).status == 200
