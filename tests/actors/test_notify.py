"""systemd hears when lictor is ready and stopping, and as long as loop and writer answer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lictor.daemon.notify import RETRY_S, Notifier
from lictor.schema.errors import Unavailable


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    """What has been sent since the last call."""
    messages = []
    try:
        while True:
            messages.append(systemd.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_a_message_goes_out_in_one_datagram(systemd: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.getsockname()}).send("READY=1", "STATUS=Serving")
    assert heard(systemd) == ["READY=1\nSTATUS=Serving"]


def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    name = f"lictor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).send("READY=1")
        assert heard(listening) == ["READY=1"]


def test_without_systemd_nothing_is_sent_and_no_watchdog_runs() -> None:
    notifier = Notifier({})
    notifier.send("READY=1")
    assert notifier.watchdog_s is None


def test_a_vanished_systemd_disturbs_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "absent")}).send("READY=1")


def test_a_watchdog_meant_for_another_process_is_not_fed() -> None:
    both = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    assert Notifier(both).watchdog_s is None
    assert Notifier({**both, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30.0
    assert Notifier({"WATCHDOG_USEC": "500000"}).watchdog_s == 0.5


def notifier(systemd: socket.socket) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "30000000"})


async def test_the_watchdog_is_fed_twice_per_period(
    systemd: socket.socket, autojump_clock: MockClock
) -> None:
    async def answers() -> None:
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(59):
        await notifier(systemd).feed_watchdog(answers)
    assert heard(systemd) == ["WATCHDOG=1"] * 4


async def test_a_writer_that_hangs_starves_the_watchdog(
    systemd: socket.socket, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(1_000):
        await notifier(systemd).feed_watchdog(trio.sleep_forever)
    assert heard(systemd) == []


async def test_an_overloaded_server_is_alive(
    systemd: socket.socket, autojump_clock: MockClock
) -> None:
    async def answers() -> None:
        await trio.lowlevel.checkpoint()
        raise Unavailable("The journal has 2048 requests waiting.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier(systemd).feed_watchdog, answers)
        await wait_all_tasks_blocked()
        await trio.sleep(RETRY_S * 2)
        assert heard(systemd) == ["WATCHDOG=1"]
        nursery.cancel_scope.cancel()
