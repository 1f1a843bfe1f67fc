"""Clients that write without pause, and the record of what the server has acknowledged.

Runs and their states, log lines and events (over the socket that answers pings), each client on a
connection of its own. A broken connection ends its client: the server was killed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    TextMessage,
)
from wsproto.events import Request as Upgrade

LINES_IN_BATCH = 12
EVENTS_BETWEEN_PINGS = 10
NOW = "2026-11-21T12:00:00.000000Z"
STATES = ("PENDING", "RUNNING", "COMPLETED")

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Gone(Exception):
    """The server is not there any more."""


class Acknowledged:
    """What the server has confirmed. `runs`: the last confirmed state of each run."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.states: set[str] = set()
        self.events: set[str] = set()
        self.lines: set[str] = set()
        self.statuses: dict[int, int] = {}


class Http:
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self, stream: trio.SocketStream, acknowledged: Acknowledged) -> None:
        self._stream = stream
        self._acknowledged = acknowledged
        self._rest = b""

    async def post(self, path: str, body: Any) -> tuple[int, bytes]:
        """The status and the body of the answer.

        Raises:
            Gone: the connection broke before the whole answer was there.
        """
        return await self.send(path, _encode(body))

    async def send(self, path: str, data: bytes, method: str = "POST") -> tuple[int, bytes]:
        head = (
            f"{method} /api{path} HTTP/1.1\r\nHost: lictor\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        with broken_connections():
            await self._stream.send_all(head.encode() + data)
            while b"\r\n\r\n" not in self._rest:
                await self._more()
            head_bytes, _, self._rest = self._rest.partition(b"\r\n\r\n")
            status = int(head_bytes[9:12])
            length = 0
            for line in head_bytes.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            while len(self._rest) < length:
                await self._more()
        answer, self._rest = self._rest[:length], self._rest[length:]
        statuses = self._acknowledged.statuses
        statuses[status] = statuses.get(status, 0) + 1
        return status, answer

    async def _more(self) -> None:
        chunk = await self._stream.receive_some(65_536)
        if not chunk:
            raise Gone
        self._rest += chunk


@contextmanager
def broken_connections() -> Iterator[None]:
    try:
        yield
    except (trio.BrokenResourceError, OSError) as error:
        raise Gone from error


@contextmanager
def until_gone() -> Iterator[None]:
    """The block ends when the server is gone."""
    with suppress(Gone):
        yield


async def connect(port: int) -> trio.SocketStream:
    with broken_connections():
        return await trio.open_tcp_stream("127.0.0.1", port)


async def write_runs(
    port: int, flow_id: str, acknowledged: Acknowledged, note: Callable[[], None]
) -> None:
    """Create runs and take each through its states."""
    with until_gone():
        async with await connect(port) as stream:
            http = Http(stream, acknowledged)
            while True:
                body = {"flow_id": flow_id, "tags": ["crash", "test"], "state": {"type": "PENDING"}}
                status, answer = await http.post("/flow_runs/", body)
                if status != 201:
                    continue
                run = _decode(answer)
                _confirm(acknowledged, run["id"], run["state"]["id"])
                note()
                for type_ in STATES[1:]:
                    status, answer = await http.post(
                        f"/flow_runs/{run['id']}/set_state", {"state": {"type": type_}}
                    )
                    if status < 300:
                        result = _decode(answer)
                        assert result["status"] == "ACCEPT", result
                        _confirm(acknowledged, run["id"], result["state"]["id"])
                        note()


def _confirm(acknowledged: Acknowledged, run_id: str, state_id: str) -> None:
    acknowledged.runs[run_id] = state_id
    acknowledged.states.add(state_id)


async def write_lines(port: int, acknowledged: Acknowledged, note: Callable[[], None]) -> None:
    """Send batches of log lines."""
    with until_gone():
        async with await connect(port) as stream:
            http = Http(stream, acknowledged)
            while True:
                batch = uuid.uuid4().hex
                lines = [
                    {
                        "name": batch,
                        "level": 20,
                        "message": f"{batch} {number}",
                        "timestamp": NOW,
                        "flow_run_id": str(uuid.UUID(batch)),
                    }
                    for number in range(LINES_IN_BATCH)
                ]
                status, _ = await http.post("/logs/", lines)
                if status < 300:
                    acknowledged.lines.update(line["message"] for line in lines)
                    note()


async def write_events(port: int, acknowledged: Acknowledged, note: Callable[[], None]) -> None:
    """Send events, a ping after every few; a pong confirms all that came before its ping."""
    with until_gone():
        async with await connect(port) as stream:
            socket = WSConnection(ConnectionType.CLIENT)
            with broken_connections():
                await stream.send_all(socket.send(Upgrade(host="lictor", target="/api/events/in")))
                sent: dict[bytes, list[str]] = {}
                while True:
                    chunk = await stream.receive_some(65_536)
                    if not chunk:
                        raise Gone
                    socket.receive_data(chunk)
                    out = b"".join(_answers(socket, sent, acknowledged, note))
                    if out:
                        await stream.send_all(out)


def _answers(
    socket: WSConnection,
    sent: dict[bytes, list[str]],
    acknowledged: Acknowledged,
    note: Callable[[], None],
) -> Iterator[bytes]:
    """What to send for what has come; two batches are always on their way."""
    for event in socket.events():
        match event:
            case AcceptConnection():
                yield from (_batch(socket, sent), _batch(socket, sent))
            case Pong(payload=payload):
                acknowledged.events.update(sent.pop(bytes(payload)))
                note()
                yield _batch(socket, sent)
            case Ping():
                yield socket.send(event.response())
            case CloseConnection() | RejectConnection():
                raise Gone
            case TextMessage() | BytesMessage():
                raise AssertionError(f"the event socket spoke: {event}")


def _batch(socket: WSConnection, sent: dict[bytes, list[str]]) -> bytes:
    ids = [str(uuid.uuid4()) for _ in range(EVENTS_BETWEEN_PINGS)]
    payload = uuid.uuid4().bytes
    sent[payload] = ids
    frames = [socket.send(TextMessage(data=_encode(_event(id_)).decode())) for id_ in ids]
    return b"".join([*frames, socket.send(Ping(payload=payload))])


def _event(id_: str) -> dict[str, Any]:
    return {
        "id": id_,
        "occurred": NOW,
        "event": "crash.test",
        "resource": {"prefect.resource.id": f"crash.test.{id_[:2]}"},
        "related": [],
        "payload": {"id": id_},
    }
