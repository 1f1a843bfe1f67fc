"""Lictor as a process of its own, and the unmodified Prefect client beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lictor_process import Start, starting

TREE = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `lictor serve`, see `starting`."""
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def prefect_python() -> Path:
    """The Python of `.venv-prefect`, which has the unmodified Prefect client."""
    python = TREE / ".venv-prefect/bin/python"
    if not python.exists():
        pytest.fail("The Prefect client is not installed: run `make .venv-prefect/installed`.")
    return python
