"""A served edge on a port of the system's choice, and peers that speak raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import trio
import trio.testing

from lictor.actors.ingress.http import Handle, Request, Response, encode
from lictor.actors.ingress.server import serve
from lictor.actors.ingress.socket import SocketHandler
from lictor.config.settings import Settings

LIMITS = {"api_body_bytes_max": 100_000, "keep_alive_s": 60.0, "http_request_s": 30.0}


class Answer(msgspec.Struct):
    """What a peer read."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Peer:
    """A client that sends exactly the bytes it is told to."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    async def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            await self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self._more()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    async def answer(self, *, to_head: bool = False) -> Answer:
        lines = (await self.until(b"\r\n\r\n")).split(b"\r\n")
        status = int(lines[0].split()[1])
        pairs = (line.split(b": ", 1) for line in lines[1:])
        headers = {name.lower(): value for name, value in pairs}
        if to_head or status in (101, 204, 304) or status < 200:
            return Answer(status, headers, b"")
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                await self.until(b"\r\n")
            await self.until(b"\r\n")
            return Answer(status, headers, body)
        if b"content-length" in headers:
            return Answer(status, headers, await self.exactly(int(headers[b"content-length"])))
        return Answer(status, headers, await self.rest())

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """All that comes up to the end of the connection."""
        try:
            while True:
                await self._more()
        except (EOFError, trio.BrokenResourceError):
            found, self.buffer = self.buffer, b""
            return found

    async def at_end(self) -> bool:
        return await self.rest() == b""


class Edge:
    """A running server as its tests see it."""

    def __init__(self, url: str, fast: bool, shutdown: trio.Event) -> None:
        self.url = url
        self.fast = fast
        self.port = int(url.rpartition(":")[2])
        self.shutdown = shutdown
        self.ended = trio.Event()

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            yield Peer(stream)


def get(path: str = "/api/x", *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(body: bytes, *headers: str) -> bytes:
    return get("/api/x", f"Content-Length: {len(body)}", *headers, method="POST") + body


async def echo(request: Request) -> Response:
    """Tells what arrived."""
    return Response(
        200,
        encode(
            {
                "method": request.method,
                "path": request.path,
                "query": request.query.decode(),
                "body": request.body.decode("latin-1"),
                "size": len(request.body),
            }
        ),
    )


Serving = Callable[..., AbstractAsyncContextManager[Edge]]


@asynccontextmanager
async def served(
    fast: bool,
    handle: Handle = echo,
    sockets: Mapping[str, SocketHandler] | None = None,
    **settings: Any,
) -> AsyncIterator[Edge]:
    chosen = Settings(port=0, http_fast_lane=fast, **{**LIMITS, **settings})
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        edge: Edge | None = None

        async def run(task_status: trio.TaskStatus[list[str]]) -> None:
            await serve(chosen, handle, sockets or {}, shutdown=shutdown, task_status=task_status)
            assert edge is not None
            edge.ended.set()

        urls = await nursery.start(run)
        edge = Edge(urls[0], fast, shutdown)
        yield edge
        nursery.cancel_scope.cancel()  # whatever the test left open


async def pass_time(clock: trio.testing.MockClock, until: Callable[[], bool], most_s: int) -> None:
    """Let the clock run a second at a time until something has happened.

    Raises:
        AssertionError: it has not happened after `most_s`.
    """
    for _ in range(most_s):
        if until():
            return
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(1)
    await trio.testing.wait_all_tasks_blocked()
    assert until(), f"nothing happened in {most_s} s"
