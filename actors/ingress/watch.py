"""The clock and the census of a server's connections.

One task wakes every second for all of them: a cancel scope with a deadline for each read would cost
more than parsing the request. So time limits of connections are exact to a second.
"""

from __future__ import annotations

import time
from math import inf
from typing import Final, Protocol

import trio

from lictor.actors.ingress.response_writer import date_header

TICK_S: Final = 1.0


class Watched(Protocol):
    """A connection with a time limit."""

    deadline_s: float

    def expire(self) -> None:
        """The time limit has passed."""
        ...

    def stop(self) -> None:
        """The server stops: end at once if idle, else after the request in hand."""
        ...


class Watch:
    """Owns the coarse time, the Date header and the set of open connections.

    `now_s` is monotonic and up to a second old. `stopping` is set once, by `stop`.
    """

    def __init__(self) -> None:
        self.now_s = trio.current_time()
        self.date = date_header(time.time())
        self.stopping = False
        self.watched: set[Watched] = set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await trio.sleep(TICK_S)
            self.now_s = now_s = trio.current_time()
            self.date = date_header(time.time())
            for one in [one for one in self.watched if one.deadline_s < now_s]:
                one.deadline_s = inf
                one.expire()

    def stop(self) -> None:
        """Tell every connection that the server stops."""
        self.stopping = True
        for one in list(self.watched):
            one.stop()
