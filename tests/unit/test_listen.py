"""The port is taken first, and when it cannot be, the line says which and what to do."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from lictor.config.settings import Settings
from lictor.daemon.exits import CannotStart, Exit
from lictor.daemon.listen import at, check_tls, handed_over, listeners, url


def test_port_0_is_a_free_port_and_the_url_names_it() -> None:
    settings = Settings(port=0)
    (listening,) = listeners(settings)
    with closing(listening):
        port = listening.getsockname()[1]
        assert url(settings, listening) == f"http://127.0.0.1:{port}/api"
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_a_taken_port_is_refused() -> None:
    (first,) = listeners(Settings(port=0))
    with closing(first):
        port = first.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} .* is taken.*--port") as caught:
            listeners(Settings(port=port))
    assert caught.value.code is Exit.PORT


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotStart, match="Choose another --host") as caught:
        listeners(Settings(host="192.0.2.1", port=0))
    assert caught.value.code is Exit.PORT


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(CannotStart, match="is not an address") as caught:
        listeners(Settings(host="x" * 100, port=0))
    assert caught.value.code is Exit.PORT


def test_every_address_is_told_to_this_machine_as_loopback() -> None:
    settings = Settings(host="0.0.0.0", port=0, api_base_path="/x")
    (listening,) = listeners(settings)
    with closing(listening):
        assert url(settings, listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/x"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1)},
        {"LISTEN_FDS": "", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_was_handed_over_to_another_process_is_not_taken(environment: dict[str, str]) -> None:
    assert handed_over(environment) == []


def test_a_socket_that_was_handed_over_says_where_the_api_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = at(Settings(host="192.0.2.1", port=1), listening)
        assert url(settings, listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/api"


def test_a_certificate_makes_it_https_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    settings = Settings(port=0, tls_certificate=tmp_path / "absent.pem")
    with pytest.raises(CannotStart, match=r"absent\.pem") as caught:
        check_tls(settings)
    assert caught.value.code is Exit.CONFIGURATION
    (listening,) = listeners(settings)
    with closing(listening):
        assert url(settings, listening).startswith("https://")
