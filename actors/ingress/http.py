"""Requests and responses of the API, free of any HTTP server's types.

Whatever carries the bytes (the fast lane, hypercorn over TLS or HTTP/2, a test) builds a `Request`,
awaits one `Handle`, and writes the `Response`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

Header = tuple[bytes, bytes]
JSON = b"application/json"
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True):
    """One request, its body read in full.

    `path` is percent-decoded and still has its prefix; `headers` have lower-case names; `peer` is
    the client's address, or None on a Unix socket.
    """

    method: str
    path: str
    query: bytes
    headers: list[Header]
    body: bytes
    peer: str | None = None
    scheme: str = "http"

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header called `name` (lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Response(msgspec.Struct, frozen=True):
    """One answer. With `stream` set, `body` is empty and the chunks come from it."""

    status: int
    body: bytes = b""
    media_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    stream: AsyncIterator[bytes] | None = None


Handle = Callable[[Request], Awaitable[Response]]
"""Answers every request below the API's prefix; it turns errors into answers and never raises."""
