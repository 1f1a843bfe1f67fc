"""HTTP/1.1 requests out of bytes. Does no I/O: bytes go in, whole requests come out.

`httptools` (llhttp, strict) does the parsing and refuses what could be read in two ways: two
Content-Lengths, a length beside a chunked body, folded or NUL-bearing headers, bare line feeds.
This module adds the limits, and decides what a connection must know besides the request: whether it
lives on, whether its peer waits for "100 Continue", whether it becomes a WebSocket.

An upgrade other than to a WebSocket (`h2c`) is ignored, as RFC 9110 section 7.8 allows: the request
is answered over HTTP/1.1.
"""

from __future__ import annotations

from collections import deque
from typing import Final
from urllib.parse import unquote

import httptools
import msgspec

from lictor.actors.ingress.http import Header, Request

HEAD_BYTES_MAX: Final = 32 * 1024
H2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_CHUNKING_BYTES_MAX: Final = 64 * 1024
_CHUNKING_FACTOR_MAX: Final = 8  # chunks of one byte cost six bytes on the wire
_NOTED: Final = frozenset((b"host", b"content-length", b"expect", b"upgrade"))


class Rejection(msgspec.Struct, frozen=True):
    """A request that cannot be served: the answer's status and `detail`; the connection ends."""

    status: int
    detail: str


class Incoming:
    """A whole request and what becomes of its connection."""

    __slots__ = ("chunkable", "keep_alive", "request")

    def __init__(self, request: Request, keep_alive: bool, chunkable: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.chunkable = chunkable


class RequestParser:
    """The parser of one connection.

    After each `feed`, look at `ready` first (whole requests, in order), then at `upgrade`, then at
    `rejection`; both of these end the HTTP part of the connection. `started`: part of a request has
    arrived. `awaits_continue`: its peer holds the body back until it is asked for.
    """

    def __init__(self, *, body_bytes_max: int, peer: str | None, scheme: str) -> None:
        self.ready: deque[Incoming] = deque()
        self.rejection: Rejection | None = None
        self.upgrade: Incoming | None = None
        self.upgrade_rest = b""
        self.started = False
        self.head_done = False
        self.awaits_continue = False
        self.waiting_bytes = 0
        self._body_bytes_max = body_bytes_max
        self._peer = peer
        self._scheme = scheme
        self._fed_bytes = 0
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_begin()
        self.started = False

    def feed(self, data: bytes) -> None:
        """Take what the peer sent. Nothing may be fed after an upgrade or a rejection."""
        self._fed_bytes = len(data)
        self.waiting_bytes += len(data)
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as pause:
                data = data[pause.args[0] :]
                if self.upgrade is not None or self.rejection is not None:
                    self.upgrade_rest = data
                    return
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserCallbackError:
                if self.rejection is None:
                    raise
                return
            except httptools.HttpParserError as error:
                self.rejection = Rejection(400, f"Malformed HTTP request: {error}.")
                return
        if self.started:
            self._limit_incomplete()

    def _limit_incomplete(self) -> None:
        if not self.head_done:
            if self.waiting_bytes > HEAD_BYTES_MAX:
                self.rejection = _HEAD_TOO_LARGE
        elif self.waiting_bytes > _CHUNKING_BYTES_MAX + _CHUNKING_FACTOR_MAX * len(self._body):
            self.rejection = Rejection(400, "Malformed HTTP request: too much chunk overhead.")

    # What httptools calls. An exception raised here reaches `feed` as HttpParserCallbackError.

    def on_message_begin(self) -> None:
        self.started = True
        self.head_done = False
        self.awaits_continue = False
        self.waiting_bytes = 0
        self._url = b""
        self._headers: list[Header] = []
        self._host = False
        self._expects = False
        self._to_websocket = False
        self._body: bytes | bytearray = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:
            return  # a trailer: nothing here needs one, and merging it could forge a header
        name = name.lower()
        self._headers.append((name, value.rstrip(b" \t")))
        if name in _NOTED:
            self._note(name, value.strip())

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host:
                self._reject(400, "Malformed HTTP request: more than one Host header.")
            self._host = True
        elif name == b"content-length":
            if int(value) > self._body_bytes_max:
                self._reject_body()
        elif name == b"upgrade":
            self._to_websocket = value.lower() == b"websocket"
        elif value.lower() == b"100-continue":
            self._expects = True
        else:
            self._reject(417, "The only expectation that can be met is 100-continue.")

    def on_headers_complete(self) -> None:
        if self._fed_bytes + self.waiting_bytes > HEAD_BYTES_MAX:
            size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > HEAD_BYTES_MAX:
                self.rejection = _HEAD_TOO_LARGE
                raise _Stop
        version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            self._reject(505, f"HTTP version {version} is not supported in this form.")
        if not self._host and version == "1.1":
            self._reject(400, "Malformed HTTP request: no Host header.")
        if self._parser.get_method() == b"CONNECT":
            self._reject(405, "Method Not Allowed")
        self.head_done = True
        self.awaits_continue = self._expects and version == "1.1"
        self.waiting_bytes = 0

    def on_body(self, body: bytes) -> None:
        self.awaits_continue = False
        if not self._body:
            self._body = body
        else:  # joined at once: a list of tiny chunks would take forty times their size
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if len(self._body) > self._body_bytes_max:
            self._reject_body()

    def on_message_complete(self) -> None:
        self.started = False
        self.awaits_continue = False
        parser = self._parser
        target, _, query = self._url.partition(b"?")
        if target[:1] != b"/" and target != b"*":
            target = self._origin_form(target)
        path = target.decode("ascii")
        request = Request(
            parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            query,
            self._headers,
            bytes(self._body),
            self._peer,
            self._scheme,
        )
        chunkable = parser.get_http_version() == "1.1"
        upgrades = parser.should_upgrade()
        keep_alive = upgrades or parser.should_keep_alive()
        incoming = Incoming(request, keep_alive, chunkable)
        if upgrades and self._to_websocket and chunkable:
            self.upgrade = incoming
        else:
            self.ready.append(incoming)

    def _origin_form(self, target: bytes) -> bytes:
        """The path of an absolute target (`http://host/path`). Source: RFC 9112 section 3.2.2."""
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            self._reject(400, "Malformed HTTP request: the target is no path and no http URL.")
        return b"/" + rest.partition(b"/")[2]

    def _reject_body(self) -> None:
        self._reject(413, f"The request body is larger than {self._body_bytes_max} bytes.")

    def _reject(self, status: int, detail: str) -> None:
        self.rejection = Rejection(status, detail)
        raise _Stop


class _Stop(Exception):
    """Ends httptools' current `feed_data`; the reason is in `RequestParser.rejection`."""


_HEAD_TOO_LARGE: Final = Rejection(
    431, f"The request line and headers are larger than {HEAD_BYTES_MAX} bytes."
)
