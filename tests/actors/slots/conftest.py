from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from slot_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path).running() as world:
        yield world
