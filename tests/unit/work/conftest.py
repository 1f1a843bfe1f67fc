"""One world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from work_world import Work


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    work = Work(tmp_path / "lictor.db")
    yield work
    work.connection.close()
