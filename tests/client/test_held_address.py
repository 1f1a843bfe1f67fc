"""An address that systemd holds: while lictor is away, clients wait instead of being refused."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from lictor_process import PATIENCE_S, Lictor, Start

REQUEST = b"GET /api/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
PORT_REFUSED = 69


def answer(connection: socket.socket) -> bytes:
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def kill(lictor: Lictor) -> None:
    lictor.process.kill()
    lictor.ended()


def test_who_comes_between_a_kill_and_the_next_start_is_answered(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = held.getsockname()
        lictor = start(held=held).until_ready()
        assert lictor.url == f"http://127.0.0.1:{address[1]}/api"
        assert lictor.ask("/health") == (200, b"true")
        kill(lictor)
        with socket.create_connection(address, timeout=PATIENCE_S) as waiting:
            waiting.sendall(REQUEST)
            lictor = start(held=held).until_ready()
            assert answer(waiting).startswith(b"HTTP/1.1 200 ")
        assert lictor.stop()[0] == 0
        # The one that stops in order leaves the address open as well.
        with socket.create_connection(address, timeout=PATIENCE_S) as waiting:
            waiting.sendall(REQUEST)
            start(held=held).until_ready()
            assert answer(waiting).startswith(b"HTTP/1.1 200 ")


def test_a_socket_that_is_not_tcp_is_refused_with_the_line_to_change(start: Start) -> None:
    # The path of a socket is short, and pytest's directories are not.
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as held:
        held.bind(str(Path(directory) / "s"))
        held.listen()
        code, _, log = start(held=held).ended()
    assert code == PORT_REFUSED
    assert "ListenStream=" in log


def test_a_socket_that_does_not_listen_is_refused(start: Start) -> None:
    with socket.socket() as held:
        assert start(held=held).ended()[0] == PORT_REFUSED
