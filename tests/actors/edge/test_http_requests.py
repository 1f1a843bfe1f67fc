"""What a peer sends well is answered well, by the fast lane and by hypercorn alike."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator
from email.utils import formatdate

import msgspec
import pytest
import trio
import trio.testing
from http_peers import Serving, echo, get, post
from hypothesis import given
from hypothesis import strategies as st

from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.response_writer import date_header
from lictor.actors.ingress.site import Site
from lictor.config.settings import Settings


def chunked(*pieces: bytes) -> bytes:
    head = get("/api/x", "Transfer-Encoding: chunked", method="POST")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


async def test_a_request_reaches_the_handle_with_path_query_headers_and_peer(
    serving: Serving,
) -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response(201, b"1")

    async with serving(handle) as edge, edge.peer() as peer:
        got = await peer.ask(get("/api/a%20b%2Fc/%C3%A9?q=%20&r", "X-Thing:  two words \t"))
    assert (got.status, got.body) == (201, b"1")
    assert got.headers[b"content-type"] == b"application/json"
    assert got.headers[b"date"].endswith(b" GMT")
    (request,) = seen
    assert (request.method, request.path, request.query) == ("GET", "/api/a b/c/é", b"q=%20&r")
    assert request.header(b"x-thing") == b"two words"
    assert (request.peer, request.scheme, request.body) == ("127.0.0.1", "http", b"")


async def test_one_connection_carries_many_requests(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        for number in range(40):
            assert (await peer.ask(get(f"/api/{number}"))).json()["path"] == f"/api/{number}"


async def test_a_body_arrives_whole_however_it_is_cut(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        for data in (post(b"hello"), chunked(b"he", b"llo")):
            for byte in data:
                await peer.send(bytes((byte,)))
            assert (await peer.answer()).json()["body"] == "hello"


async def test_a_body_at_the_limit_is_taken(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        assert (await peer.ask(post(b"x" * 100_000))).json()["size"] == 100_000
        assert (await peer.ask(chunked(b"y" * 60_000, b"y" * 40_000))).json()["size"] == 100_000


async def test_tiny_chunks_are_joined_and_trailers_are_no_headers(serving: Serving) -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    async with serving(handle) as edge, edge.peer() as peer:
        data = chunked(*[b"z"] * 5_000)[:-2] + b"Authorization: forged\r\n\r\n"
        assert (await peer.ask(data)).status == 200
    assert seen[0].body == b"z" * 5_000
    assert seen[0].header(b"authorization") is None


async def test_pipelined_requests_are_answered_in_order(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        await peer.send(get("/api/1") + post(b"two") + chunked(b"th", b"ree") + get("/api/4"))
        assert (await peer.answer()).json()["path"] == "/api/1"
        assert (await peer.answer()).json()["body"] == "two"
        assert (await peer.answer()).json()["body"] == "three"
        assert (await peer.answer()).json()["path"] == "/api/4"


async def test_head_is_answered_with_the_length_and_no_body(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        await peer.send(get(method="HEAD"))
        got = await peer.answer(to_head=True)
        assert int(got.headers[b"content-length"]) > 10
        assert (await peer.ask(get())).json()["method"] == "GET"


async def test_no_content_has_neither_body_nor_length_nor_type(serving: Serving) -> None:
    async def handle(_: Request) -> Response:
        return Response(204)

    async with serving(handle) as edge, edge.peer() as peer:
        got = await peer.ask(get())
        assert got.status == 204
        assert not {b"content-length", b"content-type", b"transfer-encoding"} & set(got.headers)
        assert (await peer.ask(get())).status == 204


async def test_a_peer_that_asks_to_close_is_closed_after_its_answer(serving: Serving) -> None:
    async with serving() as edge:
        for data in (get("/api/x", "Connection: close"), b"GET /api/x HTTP/1.0\r\n\r\n"):
            async with edge.peer() as peer:
                assert (await peer.ask(data)).status == 200
                assert await peer.at_end()


async def test_a_half_closed_peer_still_gets_its_answers(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        await peer.send(get("/api/1") + get("/api/2"))
        await peer.stream.send_eof()
        assert (await peer.answer()).json()["path"] == "/api/1"
        assert (await peer.answer()).json()["path"] == "/api/2"
        assert await peer.at_end()


async def test_a_peer_that_expects_continue_is_told_to_continue(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        head = get("/api/x", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert (await peer.ask(head)).status == 100
        assert (await peer.ask(b"hello")).json()["body"] == "hello"


async def test_an_absolute_target_means_its_path(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        for _ in range(2):
            got = (await peer.ask(get("http://elsewhere:1/api/x?a=b"))).json()
            assert (got["path"], got["query"]) == ("/api/x", "a=b")


async def test_an_upgrade_to_something_unknown_is_ignored(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        data = get("/api/x", "Connection: Upgrade", "Upgrade: tea", method="GET")
        assert (await peer.ask(data)).status == 200


async def test_a_streamed_answer_arrives_in_chunks_and_the_connection_lives_on(
    serving: Serving,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            yield piece
            await trio.lowlevel.checkpoint()

    async def handle(_: Request) -> Response:
        return Response(200, media_type=b"text/csv", stream=pieces())

    async with serving(handle) as edge:
        async with edge.peer() as peer:
            for _ in range(2):
                got = await peer.ask(get())
                assert (got.body, got.headers[b"content-type"]) == (b"onetwo", b"text/csv")
        async with edge.peer() as peer:  # HTTP/1.0 knows no chunks
            assert (await peer.ask(b"GET /api/x HTTP/1.0\r\n\r\n")).body == b"onetwo"


async def test_a_stream_that_fails_is_seen_to_be_cut(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError("the disk is gone")

    async def handle(_: Request) -> Response:
        return Response(200, stream=pieces())

    async with serving(handle) as edge:
        async with edge.peer() as peer:
            await peer.send(get())
            assert not (await peer.rest()).endswith(b"0\r\n\r\n")
        async with edge.peer() as peer:
            assert (await peer.ask(get("/elsewhere"))).status == 404


async def test_a_large_answer_waits_for_a_slow_reader(serving: Serving) -> None:
    body = bytes(range(256)) * 40_000

    async def handle(_: Request) -> Response:
        return Response(200, body)

    async with serving(handle) as edge, edge.peer() as peer:
        await peer.send(get())
        await trio.testing.wait_all_tasks_blocked()
        assert (await peer.answer()).body == body


async def test_a_bug_in_the_handle_is_a_500_and_the_connection_goes_on(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(request: Request) -> Response:
        if request.path == "/api/bug":
            raise KeyError("bug")
        return Response(200)

    async with serving(handle) as edge, edge.peer() as peer:
        got = await peer.ask(get("/api/bug"))
        assert (got.status, got.json()) == (500, {"exception_message": "Internal Server Error"})
        assert (await peer.ask(get())).status == 200
    assert "/api/bug" in caplog.text


async def test_a_forged_header_in_an_answer_is_a_fault_of_its_connection_alone(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(_: Request) -> Response:
        return Response(200, headers=((b"location", b"/\r\nset-cookie: a=b"),))

    async with serving(handle) as edge:
        async with edge.peer() as peer:
            await peer.send(get())
            assert b"set-cookie" not in await peer.rest()
        async with edge.peer() as peer:
            assert (await peer.ask(get("/elsewhere"))).status == 404
    assert any(record.levelno >= logging.ERROR for record in caplog.records)


async def test_paths_outside_the_api_are_pages(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        start = await peer.ask(get("/"))
        assert start.headers[b"content-type"].startswith(b"text/html")
        assert b"PREFECT_API_URL=http://test/api" in start.body
        for path in ("/nowhere", "/apix", "*"):
            got = await peer.ask(get(path))
            assert (got.status, got.json()) == (404, {"detail": "Not Found"})


async def test_answers_are_compressed_only_for_peers_off_the_loopback_that_ask(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(request: Request) -> Response:
        return Response(200, b"x" * int(request.query))

    asking = "Accept-Encoding: br, gzip"
    async with serving(handle) as edge:
        async with edge.peer() as peer:
            assert b"content-encoding" not in (await peer.ask(get("/api/x?900", asking))).headers
        monkeypatch.setattr(Site, "compresses_for", lambda self, peer: True)
        async with edge.peer() as peer:
            for size in (500, 200_000):
                got = await peer.ask(get(f"/api/x?{size}", asking))
                assert got.headers[b"content-encoding"] == b"gzip"
                assert gzip.decompress(got.body) == b"x" * size
            for path, header in (
                ("/api/x?499", asking),
                ("/api/x?900", "Accept-Encoding: br"),
                ("/api/x?900", "Accept-Encoding: gzip;q=0"),
            ):
                assert b"content-encoding" not in (await peer.ask(get(path, header))).headers


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_the_date_is_in_the_form_of_the_standard(at_s: int) -> None:
    assert date_header(at_s) == b"date: " + formatdate(at_s, usegmt=True).encode() + b"\r\n"


def test_compression_is_for_other_machines_and_can_be_switched_off() -> None:
    site = Site(Settings(), echo, {})
    assert site.compresses_for("192.0.2.1")
    assert site.compresses_for("fe80::1%eth0")
    assert not site.compresses_for("127.0.0.1")
    assert not site.compresses_for("::1")
    assert not site.compresses_for("::ffff:127.0.0.1")
    assert not site.compresses_for(None)
    switched_off = msgspec.structs.replace(Settings(), http_compression="off")
    assert not Site(switched_off, echo, {}).compresses_for("192.0.2.1")
