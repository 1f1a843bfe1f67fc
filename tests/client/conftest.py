"""Lictor as a process of its own, and the unmodified Prefect client beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lictor_process import Lictor, Start, clean_environment

TREE = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `lictor serve` on a free port; whatever still runs at the end is killed.

    `start(*flags, program=[…], **environment)`; the home is `tmp_path/home` unless a flag says
    otherwise. It does not wait: `start().until_ready()` does.
    """
    started: list[Lictor] = []

    def starting(*flags: str, program: list[str] | None = None, **environment: str) -> Lictor:
        home = tmp_path / "home"
        places = [] if "--home" in flags else ["--home", str(home)]
        ports = [] if "--port" in flags else ["--port", "0"]
        program = program if program is not None else [sys.executable, "-m", "lictor.daemon"]
        process = subprocess.Popen(
            [*program, "serve", *ports, *places, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=tmp_path,
            env=clean_environment(**environment),
        )
        started.append(Lictor(process, home))
        return started[-1]

    yield starting
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()
        for pipe in (each.process.stdout, each.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="session")
def prefect_python() -> Path:
    """The Python of `.venv-prefect`, which has the unmodified Prefect client."""
    python = TREE / ".venv-prefect/bin/python"
    if not python.exists():
        pytest.fail("The Prefect client is not installed: run `make .venv-prefect/installed`.")
    return python
