"""What cannot be served is refused with a reason, and harms no other connection."""

from __future__ import annotations

import pytest
import trio
from http_peers import Edge, Serving, get, post

from lictor.actors.ingress.http import Request, Response
from lictor.actors.ingress.request_parser import HEAD_BYTES_MAX

BAD_HEADS = {
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x05" * 200,
    "no host": b"GET /api/x HTTP/1.1\r\n\r\n",
    "two hosts": get("/api/x", "Host: other"),
    "two lengths": get("/api/x", "Content-Length: 1", "Content-Length: 2", method="POST") + b"a",
    "a length that is no number": get("/api/x", "Content-Length: -1", method="POST"),
    "a length beside chunks": get(
        "/api/x", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"
    )
    + b"0\r\n\r\n",
    "an unknown transfer coding": get("/api/x", "Transfer-Encoding: gzip", method="POST"),
    "a NUL in a header": get("/api/x", "X: a\0b"),
    "a folded header": get("/api/x", "X: a\r\n b"),
    "a space before the colon": get("/api/x", "X : a"),
    "bare line feeds": b"GET /api/x HTTP/1.1\nHost: test\n\n",
    "a target with a raw byte": b"GET /api/\xff HTTP/1.1\r\nHost: test\r\n\r\n",
    "a target of another scheme": get("ftp://test/api/x"),
    "a target that is no path": get("api/x"),
}


async def alive(edge: Edge) -> None:
    async with edge.peer() as peer:
        assert (await peer.ask(get())).status == 200


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS.keys())
async def test_a_malformed_request_is_a_400_that_says_so(serving: Serving, data: bytes) -> None:
    async with serving() as edge:
        async with edge.peer() as peer:
            got = await peer.ask(data)
            assert got.status == 400
            assert got.json()["detail"].startswith("Malformed HTTP request")
            assert got.headers[b"connection"] == b"close"
            assert await peer.at_end()
        await alive(edge)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("test:443", method="CONNECT"), 405),
        (b"GET /api/x HTTP/2.0\r\nHost: test\r\n\r\n", 505),
        (get("/api/x", "Content-Length: 5", "Expect: a miracle", method="POST"), 417),
    ],
)
async def test_what_is_not_supported_is_refused_by_its_status(
    serving: Serving, data: bytes, status: int
) -> None:
    async with serving() as edge, edge.peer() as peer:
        got = await peer.ask(data)
        assert (got.status, list(got.json())) == (status, ["detail"])


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""], ids=["complete", "endless"])
async def test_a_head_over_the_limit_is_a_431_that_names_it(
    serving: Serving, ending: bytes
) -> None:
    async with serving() as edge:
        async with edge.peer() as peer:
            data = get("/api/x", *[f"X-{number}: {'x' * 990}" for number in range(100)])
            got = await peer.ask(data.removesuffix(b"\r\n\r\n") + ending)
            assert got.status == 431
            assert str(HEAD_BYTES_MAX) in got.json()["detail"]
            assert await peer.at_end()
        await alive(edge)


async def test_a_head_just_under_the_limit_is_served(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        assert (await peer.ask(get("/api/x", "X: " + "x" * (HEAD_BYTES_MAX - 100)))).status == 200


async def test_a_body_over_the_limit_is_a_413_that_names_it(serving: Serving) -> None:
    async with serving() as edge:
        chunk = b"%x\r\n%b\r\n" % (60_000, b"x" * 60_000)
        for data in (
            post(b"x" * 100_001),
            get("/api/x", "Content-Length: 999999999", method="POST"),
            get("/api/x", "Transfer-Encoding: chunked", method="POST") + chunk * 2 + b"0\r\n\r\n",
        ):
            async with edge.peer() as peer:
                got = await peer.ask(data)
                assert (got.status, list(got.json())) == (413, ["detail"])
                assert "100000 bytes" in got.json()["detail"]
                assert await peer.at_end()
        await alive(edge)


async def test_a_peer_that_is_still_sending_can_read_why_it_is_refused(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        await peer.send(post(b"x" * 20_000_000))  # fails if the server just closes
        assert (await peer.answer()).status == 413


async def test_a_refused_body_is_not_asked_for(serving: Serving) -> None:
    async with serving() as edge, edge.peer() as peer:
        data = get("/api/x", "Content-Length: 100001", "Expect: 100-continue", method="POST")
        assert (await peer.ask(data)).status == 413


async def test_good_requests_in_front_of_a_bad_one_are_answered_first() -> None:
    from http_peers import served

    async with served(True) as edge, edge.peer() as peer:
        await peer.send(get("/api/1") + post(b"two") + b"nonsense\r\n\r\n")
        assert (await peer.answer()).json()["path"] == "/api/1"
        assert (await peer.answer()).json()["body"] == "two"
        assert (await peer.answer()).status == 400
        assert await peer.at_end()


async def test_what_follows_a_request_that_closes_is_not_served(serving: Serving) -> None:
    served_paths: list[str] = []

    async def handle(request: Request) -> Response:
        served_paths.append(request.path)
        return Response(200)

    async with serving(handle) as edge, edge.peer() as peer:
        await peer.send(get("/api/1", "Connection: close") + get("/api/2"))
        status = (await peer.answer()).status
        assert await peer.at_end()
        assert status == (200 if edge.fast else 400)  # h11 refuses both
    assert "/api/2" not in served_paths


async def test_peers_that_leave_at_any_point_harm_nobody(serving: Serving) -> None:
    whole = post(b"hello") + get()
    async with serving() as edge:
        for cut in range(0, len(whole), 7):
            async with edge.peer() as peer:
                await peer.send(whole[:cut])
                await trio.aclose_forcefully(peer.stream)
        await alive(edge)


async def test_an_upgrade_with_a_byte_behind_it_ends_nothing_else(serving: Serving) -> None:
    upgrade = get(
        "/api/events/in",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
    )
    async with serving() as edge:
        for before in (b"", get()):
            async with edge.peer() as peer:
                await peer.send(before + upgrade + b"x")
                await peer.rest()
        await alive(edge)
