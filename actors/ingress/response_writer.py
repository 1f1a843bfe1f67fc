"""Answers as bytes of HTTP/1.1, and their compression."""

from __future__ import annotations

import time
import zlib
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec
import trio

from lictor.actors.ingress.http import Request, Response, encode
from lictor.actors.ingress.request_parser import Rejection

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
COMPRESSED_BYTES_MIN: Final = 500
"""Smaller bodies are sent as they are. Source: Starlette's GZipMiddleware, as Prefect uses it."""
_INLINE_COMPRESSION_BYTES_MAX: Final = 64 * 1024
_GZIP_LEVEL: Final = 1  # runs of a page: a tenth larger than level 4, at less than half its time
_GZIP_FORMAT: Final = 31  # zlib's window bits for a gzip header around the largest window
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


def date_header(at_s: float) -> bytes:
    """The Date line for a Unix time. Source: RFC 9110 section 6.6.1."""
    at = time.gmtime(at_s)
    day, month = _DAYS[at.tm_wday], _MONTHS[3 * at.tm_mon - 3 : 3 * at.tm_mon]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"date: {day}, {at.tm_mday:02} {month} {at.tm_year} {clock} GMT\r\n".encode()


def is_bodiless(status: int) -> bool:
    """Whether answers of `status` carry neither a body nor its length (RFC 9110 section 6.4.1)."""
    return status in (204, 304) or status < 200


def head(response: Response, date: bytes, framing: bytes, *, closes: bool) -> bytes:
    """Status line and headers, the empty line included.

    `framing` is the line that says where the body ends, or nothing.

    Raises:
        ValueError: a header of the response could forge another one.
    """
    line = _STATUS_LINES.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status
    parts = [line, date]
    if not is_bodiless(response.status):
        parts += (b"content-type: ", response.media_type, b"\r\n")
    for name, value in response.headers:
        if not _FORBIDDEN.isdisjoint(name) or not _FORBIDDEN.isdisjoint(value):
            raise ValueError(f"The header {name!r} of an answer has a control character.")
        parts += (name, b": ", value, b"\r\n")
    parts.append(framing)
    parts.append(b"connection: close\r\n\r\n" if closes else b"\r\n")
    return b"".join(parts)


_FORBIDDEN: Final = frozenset(b"\r\n\0")


def whole(response: Response, date: bytes, *, to_head: bool, closes: bool) -> bytes:
    """A response without a stream, in one piece. `to_head`: the request's method was HEAD."""
    if is_bodiless(response.status):
        return head(response, date, b"", closes=closes)
    body = response.body
    framing = b"content-length: %d\r\n" % len(body)
    start = head(response, date, framing, closes=closes)
    return start if to_head else start + body


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def rejected(rejection: Rejection) -> Response:
    """The answer to a request that cannot be served."""
    return Response(rejection.status, encode({"detail": rejection.detail}))


def is_loopback(peer: str | None) -> bool:
    """Whether `peer` is on this machine; None is a Unix socket."""
    if peer is None:
        return True
    address = ip_address(peer.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


async def compressed(request: Request, response: Response) -> Response:
    """`response`, its body gzipped where the client takes that and it is large enough.

    A body over 64 KiB is compressed in a thread, as it would hold up the loop for milliseconds.
    """
    body = response.body
    if len(body) < COMPRESSED_BYTES_MIN or not _accepts_gzip(request):
        return response
    if any(name.lower() == b"content-encoding" for name, _ in response.headers):
        return response
    if len(body) <= _INLINE_COMPRESSION_BYTES_MAX:
        packed = zlib.compress(body, _GZIP_LEVEL, _GZIP_FORMAT)
    else:
        packed = await trio.to_thread.run_sync(zlib.compress, body, _GZIP_LEVEL, _GZIP_FORMAT)
    marks = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
    return msgspec.structs.replace(response, body=packed, headers=response.headers + marks)


def _accepts_gzip(request: Request) -> bool:
    """Source: RFC 9110 section 12.5.3; a weight of zero is a refusal."""
    accepted = request.header(b"accept-encoding")
    if accepted is None or b"gzip" not in accepted:
        return False
    for item in accepted.split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip().lower() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b"0.") not in (b"q=", b"Q=")
    return False
