"""Whatever bytes arrive, the parser gives whole requests or one rejection, and never raises."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lictor.actors.ingress.request_parser import HEAD_BYTES_MAX, RequestParser

BODY_BYTES_MAX = 1000
Outcome = tuple[list[tuple[str, str, bytes, bytes]], int | None, str | None, bytes]

good = st.sampled_from(
    [
        b"GET /api/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: t\r\n\r\n",
        b"GET /%61 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ]
)
token = st.sampled_from(
    (
        *(b"GET ", b"POST ", b"/", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b":", b" ", b"5", b"0"),
        *(b"Host: a\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"\0", b"\xff"),
        *(b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Expect: 100-continue\r\n"),
        b"ffffffffffffffffff",
    )
)
stream = st.lists(st.one_of(good, token, st.binary(max_size=20)), max_size=12).map(b"".join)


def fed(pieces: list[bytes]) -> tuple[RequestParser, Outcome]:
    parser = RequestParser(body_bytes_max=BODY_BYTES_MAX, peer=None, scheme="http")
    rest = b""
    for number, piece in enumerate(pieces):
        parser.feed(piece)
        if parser.upgrade is not None:
            rest = parser.upgrade_rest + b"".join(pieces[number + 1 :])
            break
        if parser.rejection is not None:
            break
    requests = [incoming.request for incoming in parser.ready]
    outcome = (
        [(each.method, each.path, each.query, each.body) for each in requests],
        parser.rejection.status if parser.rejection else None,
        parser.upgrade.request.path if parser.upgrade else None,
        rest,
    )
    return parser, outcome


@given(stream)
def test_any_bytes_give_requests_or_one_rejection(data: bytes) -> None:
    parser, (requests, status, upgrade, _) = fed([data])
    for _method, path, _query, body in requests:
        assert path.startswith("/") or path == "*"
        assert len(body) <= BODY_BYTES_MAX
    assert status is None or 400 <= status < 600
    assert status is None or upgrade is None
    assert not (parser.awaits_continue and not parser.started)


@given(stream, st.lists(st.integers(min_value=0, max_value=300), max_size=6))
def test_the_outcome_does_not_depend_on_how_the_bytes_are_cut(data: bytes, at: list[int]) -> None:
    cuts = [0, *sorted(min(each, len(data)) for each in at), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(cuts) if end > start]
    assert fed(pieces)[1] == fed([data])[1]


@given(st.lists(good, min_size=1, max_size=5))
def test_every_good_request_is_seen(requests: list[bytes]) -> None:
    final = next((n for n, each in enumerate(requests) if b"1.0" in each or b"/s " in each), None)
    whole = requests if final is None else requests[: final + 1]
    parser, (seen, status, _, _) = fed([b"".join(whole)])
    assert len(seen) + (parser.upgrade is not None) == len(whole)
    assert status is None


@given(
    st.sampled_from([b"X", b"X: y\r\n", b"\r\n", b"/"]), st.integers(min_value=1, max_value=9000)
)
def test_what_never_ends_is_stopped(piece: bytes, size: int) -> None:
    parser = RequestParser(body_bytes_max=BODY_BYTES_MAX, peer=None, scheme="http")
    parser.feed(b"POST /" if piece == b"/" else b"POST / HTTP/1.1\r\n")
    fed_bytes = 0
    while parser.rejection is None and not parser.ready:
        parser.feed(piece * (size // len(piece) + 1))
        fed_bytes += size
        assert fed_bytes <= 2 * HEAD_BYTES_MAX


@given(st.integers(min_value=500, max_value=60_000))
def test_endless_chunk_overhead_and_trailers_are_stopped(size: int) -> None:
    for start in (b"1;" + b"x" * 10, b"0\r\nTrailer: "):
        parser = RequestParser(body_bytes_max=BODY_BYTES_MAX, peer=None, scheme="http")
        parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
        fed_bytes = 0
        while parser.rejection is None:
            parser.feed(b"y" * size)
            fed_bytes += size
            assert fed_bytes <= 200_000
