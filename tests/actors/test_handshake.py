"""Opening an API WebSocket, driven through a socket that is only a script."""

from __future__ import annotations

import pytest

from lictor.actors.ingress.handshake import accept_prefect_socket
from lictor.actors.ingress.http import Header
from lictor.actors.ingress.socket import Binary, Disconnected, Frame, Ping, Text, text_frame
from lictor.config.settings import Settings

OPEN = Settings()
GUARDED = Settings(api_auth_string="user:password")
SUCCESS = ("send", text_frame(b'{"type":"auth_success"}'))


class ScriptedSocket:
    """Gives the frames of `reads`, then disconnects; `done` is what the server did, in order."""

    def __init__(self, *reads: list[Frame], subprotocols: tuple[str, ...] = ("prefect",)) -> None:
        self.path = "/api/events/in"
        self.query = b""
        self.headers: list[Header] = []
        self.subprotocols = subprotocols
        self.peer: str | None = "127.0.0.1"
        self.done: list[tuple[object, ...]] = []
        self._reads = list(reads)

    async def accept(self, subprotocol: str | None = None) -> None:
        self.done.append(("accept", subprotocol))

    async def reject(self, status: int = 403) -> None:
        self.done.append(("reject", status))

    async def receive(self) -> list[Frame]:
        if not self._reads:
            raise Disconnected(1006)
        return self._reads.pop(0)

    async def send(self, frames: bytes) -> None:
        self.done.append(("send", frames))

    async def pong(self, payload: bytes) -> None:
        self.done.append(("pong", payload))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.done.append(("close", code, reason))


def auth(token: str = "null") -> list[Frame]:
    return [Text(b'{"type":"auth","token":' + token.encode() + b"}")]


@pytest.mark.parametrize("token", ["null", '"anything"', "5"])
async def test_without_credentials_any_token_opens_the_socket(token: str) -> None:
    socket = ScriptedSocket(auth(token))
    assert await accept_prefect_socket(socket, OPEN)
    assert socket.done == [("accept", "prefect"), SUCCESS]


async def test_without_credentials_the_token_may_be_left_out() -> None:
    socket = ScriptedSocket([Text(b'{"type":"auth"}')])
    assert await accept_prefect_socket(socket, OPEN)


async def test_the_right_token_is_the_plain_auth_string() -> None:
    socket = ScriptedSocket(auth('"user:password"'))
    assert await accept_prefect_socket(socket, GUARDED)
    assert socket.done == [("accept", "prefect"), SUCCESS]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("null", "Auth required but no token provided"),
        ('""', "Auth required but no token provided"),
        ('"user:passwort"', "Invalid token"),
        ('"dXNlcjpwYXNzd29yZA=="', "Invalid token"),
        ("7", "Invalid token"),
        ('{"user":"password"}', "Invalid token"),
        ('"ключ"', "Invalid token"),
    ],
)
async def test_a_wrong_token_closes_the_socket_as_a_breach_of_policy(
    token: str, reason: str
) -> None:
    socket = ScriptedSocket(auth(token))
    assert not await accept_prefect_socket(socket, GUARDED)
    assert socket.done == [("accept", "prefect"), ("close", 1008, reason)]


@pytest.mark.parametrize(
    "message",
    [
        Text(b'{"type":"filter"}'),
        Text(b"{"),
        Text(b"[]"),
        Text(b"\xff"),
        Text(b'{"type":"auth","token":"' + b"x" * 70_000 + b'"}'),
        Binary(b'{"type":"auth"}'),
    ],
)
async def test_anything_but_an_auth_message_first_closes_the_socket(message: Frame) -> None:
    socket = ScriptedSocket([message])
    assert not await accept_prefect_socket(socket, OPEN)
    assert socket.done[-1] == ("close", 1008, "Expected 'auth' message")


async def test_a_frame_that_does_not_wait_for_auth_success_closes_the_socket() -> None:
    socket = ScriptedSocket([*auth(), Text(b'{"type":"filter"}')])
    assert not await accept_prefect_socket(socket, OPEN)
    assert SUCCESS not in socket.done


async def test_pings_before_the_auth_message_are_answered_where_they_stand() -> None:
    socket = ScriptedSocket([Ping(b"1")], [Ping(b"2"), *auth()])
    assert await accept_prefect_socket(socket, OPEN)
    assert socket.done == [("accept", "prefect"), ("pong", b"1"), ("pong", b"2"), SUCCESS]


async def test_an_old_client_without_the_subprotocol_is_taken_as_it_is() -> None:
    socket = ScriptedSocket(subprotocols=())
    assert await accept_prefect_socket(socket, OPEN)
    assert socket.done == [("accept", None)]


async def test_without_the_subprotocol_nobody_passes_configured_credentials() -> None:
    socket = ScriptedSocket(subprotocols=("other",))
    assert not await accept_prefect_socket(socket, GUARDED)
    assert socket.done == [("reject", 403)]


async def test_a_socket_that_needs_the_subprotocol_rejects_old_clients() -> None:
    socket = ScriptedSocket(subprotocols=())
    assert not await accept_prefect_socket(socket, OPEN, subprotocol_required=True)
    assert socket.done == [("reject", 403)]


async def test_a_client_that_leaves_in_the_middle_is_reported_as_disconnected() -> None:
    with pytest.raises(Disconnected):
        await accept_prefect_socket(ScriptedSocket(), OPEN)
