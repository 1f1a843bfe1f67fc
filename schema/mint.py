"""Where new ids, moments and random draws come from: one object, injected, so that a test or a
simulation decides them.
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable

from lictor.schema.times import Timestamp


class Mint:
    """Makes UUIDv7 texts (RFC 9562, increasing within a process), moments and random numbers.

    `wall_ns` gives nanoseconds since the Unix epoch; `random` is the only source of chance in the
    rules (jitter, Poisson waits, generated names).
    """

    __slots__ = ("_last_ms", "_second", "_second_text", "_sequence", "_wall_ns", "random")

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        random: _random.Random | None = None,
    ) -> None:
        self._wall_ns = wall_ns
        self.random = random if random is not None else _random.Random()
        self._last_ms = 0
        self._sequence = 0
        self._second = -1
        self._second_text = ""

    def now(self) -> Timestamp:
        """This moment in the canonical text form."""
        seconds, nanoseconds = divmod(self._wall_ns(), 1_000_000_000)
        if seconds != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            self._second = seconds
        return f"{self._second_text}.{nanoseconds // 1000:06d}Z"

    def id(self) -> str:
        """A new UUIDv7: 48 bits of milliseconds, a 12 bit counter, 62 random bits."""
        ms = self._wall_ns() // 1_000_000
        if ms > self._last_ms:
            self._last_ms, self._sequence = ms, self.random.getrandbits(10)
        else:
            self._sequence += 1
            if self._sequence > 0xFFF:
                self._last_ms, self._sequence = self._last_ms + 1, 0
        head = f"{self._last_ms:012x}"
        tail = f"{0x8000_0000_0000_0000 | self.random.getrandbits(62):016x}"
        return f"{head[:8]}-{head[8:]}-7{self._sequence:03x}-{tail[:4]}-{tail[4:]}"
