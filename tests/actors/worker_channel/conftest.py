"""The world of the worker channels, started for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from channel_world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Ask for `autojump_clock` as well: pytest-trio sees only a test's own fixtures."""
    async with running(tmp_path) as made:
        yield made
