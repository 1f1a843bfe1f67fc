"""Telling systemd how the process is doing, over the socket it names in the environment.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import trio

from lictor.schema.errors import Unavailable

RETRY_S = 0.5


class Notifier:
    """Sends READY, STOPPING, STATUS and WATCHDOG; does nothing when nobody listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment)

    def send(self, *lines: str) -> None:
        """Send `lines` such as `READY=1` in one datagram. A lost one is systemd's loss."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), address)
            except OSError:
                # systemd is restarting or gone; serving goes on without it.
                return

    async def feed_watchdog(self, answers: Callable[[], Awaitable[object]]) -> None:
        """Say "alive" twice per period, each time after `answers` has come back.

        `answers` goes through the loop and the writer, so a process whose either half hangs falls
        silent and is started again. Returns at once when systemd asked for no watchdog.
        """
        if self.watchdog_s is None:
            return
        while True:
            try:
                await answers()
            except Unavailable:
                # Overload or a full disk is an answer that a restart would not improve, but the
                # next question must come soon enough for the deadline.
                await trio.sleep(RETRY_S)
            self.send("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """The period systemd expects a sign of life in; None when it expects none of this process."""
    period = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not period.isdecimal() or process != str(os.getpid()):
        return None
    return int(period) / 1_000_000
