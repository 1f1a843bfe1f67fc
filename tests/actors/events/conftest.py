"""The world of the event hub, started for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from event_world import World
from trio.testing import wait_all_tasks_blocked


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.journal.run)
        await nursery.start(made.hub.run)
        yield made
        made.executor.gate.set()
        made.hub.close()
        await wait_all_tasks_blocked()
        made.journal.close()
    made.close()
