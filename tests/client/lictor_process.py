"""A started lictor, and how a test talks to it."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pytest

HAND_OVER = Path(__file__).parent / "programs/hand_over.py"
PATIENCE_S = 60.0
"""How long a test waits for something that is bound to come, however busy the machine."""


class Lines:
    """The lines of a pipe, waited for with patience, and what came after them."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._rest = b""

    def next(self) -> str:
        """The next line, or what there was of it when nothing more comes."""
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._rest:
            left_s = max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self._pipe], [], [], left_s)
            chunk = os.read(self._pipe.fileno(), 65_536) if ready else b""
            if not chunk:
                break
            self._rest += chunk
        line, newline, self._rest = self._rest.partition(b"\n")
        return (line + newline).decode()

    def all(self) -> str:
        """Everything that is left, once the pipe is closed at the other end."""
        lines = []
        while line := self.next():
            lines.append(line)
        return "".join(lines)


class Lictor:
    """A started `lictor` process. Its log is JSON lines on stderr."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.home = home
        self.out = Lines(process.stdout)
        self.log = Lines(process.stderr)
        self.announcement = ""
        self.url = ""

    def until_ready(self) -> Lictor:
        """Wait for the lines that say where the API is."""
        self.announcement = self.out.next() + self.out.next()
        found = re.search(r"PREFECT_API_URL=(\S+)\n", self.announcement)
        if not found:
            self.process.kill()
            pytest.fail(f"lictor did not start: {self.announcement}{self.log.all()}")
        self.url = found[1]
        return self

    def until_logged(self, message: str) -> str:
        """Wait for a log line with `message` in it; the line."""
        seen = []
        while line := self.log.next():
            if message in line:
                return line
            seen.append(line)
        pytest.fail(f"{message!r} was never logged: {seen}")

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        """One request; its status and the answer."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json", **headers}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; exit code, the rest of stdout, the rest of stderr."""
        out, log = self.out.all(), self.log.all()
        return self.process.wait(PATIENCE_S), out, log

    def stop(self) -> tuple[int, str, str]:
        self.signal()
        return self.ended()


Start = Callable[..., Lictor]


@contextmanager
def starting(directory: Path) -> Iterator[Start]:
    """Starts `lictor serve` on a free port; whatever still runs at the end is killed.

    `start(*flags, program=[…], held=SOCKET, **environment)`; the home is `home` in `directory`
    unless a flag says otherwise. With `held` it listens there, as under a socket unit of systemd.
    It does not wait: `start().until_ready()` does.
    """
    started: list[Lictor] = []

    def start(
        *flags: str,
        program: list[str] | None = None,
        held: socket.socket | None = None,
        **environment: str,
    ) -> Lictor:
        home = directory / "home"
        places = [] if "--home" in flags else ["--home", str(home)]
        ports = [] if "--port" in flags else ["--port", "0"]
        program = program if program is not None else [sys.executable, "-m", "lictor.daemon"]
        passed = [] if held is None else [held.fileno()]
        if held is not None:
            program = [sys.executable, str(HAND_OVER), str(held.fileno()), *program]
        process = subprocess.Popen(
            [*program, "serve", *ports, *places, *flags],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=directory,
            env=clean_environment(**environment),
            # Where the kernel shares processors out by session, clients must not starve it.
            start_new_session=True,
        )
        started.append(Lictor(process, home))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()
            for pipe in (each.process.stdout, each.process.stderr):
                assert pipe is not None
                pipe.close()


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment without anything that would configure lictor or Prefect."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not re.match(r"LICTOR_|PREFECT_|STATE_DIRECTORY|NOTIFY_SOCKET|WATCHDOG_", name)
    }
    return kept | extra
