"""One world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cleanup_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "lictor.db")
    yield world
    world.close()
