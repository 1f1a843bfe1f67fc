"""Limits of time and number, and how the edge stops."""

from __future__ import annotations

import errno
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing
from http_peers import LIMITS, Peer, Serving, get, pass_time, post, served

from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.server import serve
from lictor.config.settings import Settings


class Reading:
    """Reads a peer to its end in the background."""

    def __init__(self, peer: Peer, nursery: trio.Nursery) -> None:
        self.got = b""
        self.ended = False
        nursery.start_soon(self._read, peer)

    async def _read(self, peer: Peer) -> None:
        self.got = await peer.rest()
        self.ended = True


@pytest.mark.parametrize("sent", [b"", get()], ids=["fresh", "used"])
async def test_an_idle_connection_is_closed_after_its_time(
    serving: Serving, mock_clock: trio.testing.MockClock, nursery: trio.Nursery, sent: bytes
) -> None:
    async with serving(keep_alive_s=20.0) as edge, edge.peer() as peer:
        if sent:
            await peer.ask(sent)
        began_s = trio.current_time()
        reading = Reading(peer, nursery)
        await pass_time(mock_clock, lambda: reading.ended, 25)
        assert trio.current_time() - began_s > 18
        assert reading.got == b""


@pytest.mark.parametrize("sent", [get()[:20], post(b"x" * 50)[:-20]], ids=["head", "body"])
async def test_a_request_that_does_not_arrive_is_a_408(
    serving: Serving, mock_clock: trio.testing.MockClock, nursery: trio.Nursery, sent: bytes
) -> None:
    async with serving(http_request_s=10.0) as edge, edge.peer() as peer:
        await peer.send(sent)
        reading = Reading(peer, nursery)
        await pass_time(mock_clock, lambda: reading.ended, 15)
        assert reading.got.startswith(b"HTTP/1.1 408 ")
        assert b"more than 10.0 s" in reading.got


async def test_dripping_bytes_do_not_buy_time(
    mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(True, http_request_s=10.0) as edge, edge.peer() as peer:
        reading = Reading(peer, nursery)
        sent = iter(get())

        async def drip() -> None:
            while not reading.ended:
                await peer.send(bytes((next(sent),)))
                await trio.sleep(1)

        nursery.start_soon(drip)
        await pass_time(mock_clock, lambda: reading.ended, 15)
        assert reading.got.startswith(b"HTTP/1.1 408 ")


async def test_a_peer_that_does_not_read_its_answer_is_cut_off(
    mock_clock: trio.testing.MockClock,
) -> None:
    async def handle(_: Request) -> Response:
        return Response(200, b"x" * 8_000_000)

    async with served(True, handle, http_request_s=5.0) as edge, edge.peer() as peer:
        await peer.send(get())
        for _ in range(8_000_000 // 8192 + 8):
            mock_clock.jump(1)
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5)
        assert len(await peer.rest()) < 8_000_000


async def test_a_slow_handle_has_no_time_limit_here(
    serving: Serving, mock_clock: trio.testing.MockClock
) -> None:
    go_on = trio.Event()

    async def handle(_: Request) -> Response:
        await go_on.wait()
        return Response(200)

    async with serving(handle) as edge, edge.peer() as peer:
        await peer.send(get())
        for _ in range(100):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(10)
        go_on.set()
        assert (await peer.answer()).status == 200


async def test_one_connection_too_many_is_told_to_come_again(serving: Serving) -> None:
    async with serving(http_connections_max=2) as edge, edge.peer() as one, edge.peer() as two:
        assert (await one.ask(get())).status == (await two.ask(get())).status == 200
        async with edge.peer() as three:
            got = await three.answer()
            assert (got.status, got.headers[b"retry-after"]) == (503, b"1")
            assert await three.at_end()
        assert (await one.ask(get())).status == 200
        await one.ask(get("/api/x", "Connection: close"))
        await one.rest()
        await one.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        async with edge.peer() as four:
            assert (await four.ask(get())).status == 200


async def test_a_stop_closes_idle_connections_and_finishes_requests_in_flight(
    serving: Serving,
) -> None:
    go_on, arrived = trio.Event(), trio.Event()

    async def handle(request: Request) -> Response:
        if request.path == "/api/slow":
            arrived.set()
            await go_on.wait()
        return Response(200)

    async with serving(handle) as edge, edge.peer() as idle, edge.peer() as busy:
        await idle.ask(get())
        await busy.send(get("/api/slow"))
        await arrived.wait()
        edge.shutdown.set()
        assert await idle.at_end()
        assert not edge.ended.is_set()
        with pytest.raises(OSError, match=r"."):
            await trio.open_tcp_stream("127.0.0.1", edge.port)
        go_on.set()
        assert (await busy.answer()).status == 200
        assert await busy.at_end()
        await busy.stream.aclose()
        await edge.ended.wait()


async def test_a_stop_waits_no_longer_than_its_time(
    serving: Serving, mock_clock: trio.testing.MockClock
) -> None:
    arrived = trio.Event()

    async def handle(_: Request) -> Response:
        arrived.set()
        await trio.sleep_forever()
        raise AssertionError

    async with serving(handle, drain_s=5.0) as edge, edge.peer() as peer:
        await peer.send(get())
        await arrived.wait()
        edge.shutdown.set()
        await trio.testing.wait_all_tasks_blocked()
        assert not edge.ended.is_set()
        await pass_time(mock_clock, edge.ended.is_set, 8)
        assert await peer.at_end()


async def test_a_port_that_is_taken_is_an_error_of_the_caller(serving: Serving) -> None:
    async def handle(_: Request) -> Response:
        return Response(200)

    async with serving() as edge:
        settings = Settings(port=edge.port, **LIMITS)
        with pytest.raises(OSError, match="ddress") as caught:
            await partial(serve, settings, handle, {}, shutdown=trio.Event())()
        assert caught.value.errno == errno.EADDRINUSE
