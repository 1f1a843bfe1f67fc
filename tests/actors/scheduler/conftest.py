"""A journal, readers and a wall clock that follows trio's, with a deployment to schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from scheduling_world import SchedulingWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SchedulingWorld]:
    """Ask for `autojump_clock` as well: pytest-trio sees only a test's own fixtures."""
    world = SchedulingWorld(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.journal.run)
        await world.begin()
        yield world
        nursery.cancel_scope.cancel()
    world.close()
