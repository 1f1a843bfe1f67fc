"""One world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from deadline_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Ask for `autojump_clock` as well: pytest-trio sees only a test's own fixtures."""
    world = World(tmp_path)
    async with trio.open_nursery() as nursery:
        await world.begin(nursery)
        yield world
        nursery.cancel_scope.cancel()
    world.close()
