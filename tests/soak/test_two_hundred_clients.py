"""Two hundred clients at once, for `LICTOR_SOAK_S` seconds (`make soak`: 60): nothing but answers.

Zero 5xx, memory below a ceiling, a file that is sound, and everything acknowledged in it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio
from crash.load import (
    Acknowledged,
    Http,
    connect,
    until_gone,
    write_events,
    write_lines,
    write_runs,
)
from crash.process import Lictor, lictor
from crash.test_kill import check_file, flow_id_of

SOAK_S = float(os.environ.get("LICTOR_SOAK_S", "5"))
RUN_CLIENTS = 120
LINE_CLIENTS = 40
EVENT_CLIENTS = 20
READ_CLIENTS = 20
RSS_BYTES_MAX = 192 * 1024 * 1024
"""Idle it is below 60 MiB. Connections (200), page caches (16 + 3 x 8 MiB), statement caches, one
group's jobs and their answers come to about the same again; the rest is the allocator's slack."""
RSS_EVERY_S = 0.5
WAL_BYTES_MAX = 96 * 1024 * 1024
"""The log begins anew at 16 MiB; readers that stay in it may delay that a few times over."""
WRITES_AT_LEAST_PER_S = 20
"""Far below what it does: that all of it was answered is the point, on however slow a machine."""


async def read_runs(port: int, acknowledged: Acknowledged, note: Callable[[], None]) -> None:
    """Ask what the dashboard asks: the newest runs, how many there are, one of them."""
    with until_gone():
        async with await connect(port) as stream:
            http = Http(stream, acknowledged)
            while True:
                _, answer = await http.post(
                    "/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 20}
                )
                for run in msgspec.json.decode(answer)[:3]:
                    await http.send(f"/flow_runs/{run['id']}", b"", "GET")
                await http.post("/flow_runs/count", {})


class Ceilings:
    """The highest memory and the longest log that were seen."""

    def __init__(self) -> None:
        self.rss_bytes = 0
        self.wal_bytes = 0

    async def watch(self, server: Lictor) -> None:
        wal = server.database.with_name("lictor.db-wal")
        while True:
            self.rss_bytes = max(self.rss_bytes, server.rss_bytes)
            self.wal_bytes = max(self.wal_bytes, wal.stat().st_size)
            await trio.sleep(RSS_EVERY_S)


async def test_two_hundred_clients_get_nothing_but_answers(tmp_path: Path) -> None:
    acknowledged, ceilings, writes = Acknowledged(), Ceilings(), 0

    def note() -> None:
        nonlocal writes
        writes += 1

    with lictor(tmp_path) as server:
        flow_id = await flow_id_of(server.port, acknowledged)
        with trio.move_on_after(SOAK_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ceilings.watch, server)
                for _ in range(RUN_CLIENTS):
                    nursery.start_soon(write_runs, server.port, flow_id, acknowledged, note)
                for _ in range(LINE_CLIENTS):
                    nursery.start_soon(write_lines, server.port, acknowledged, note)
                for _ in range(EVENT_CLIENTS):
                    nursery.start_soon(write_events, server.port, acknowledged, note)
                for _ in range(READ_CLIENTS):
                    nursery.start_soon(read_runs, server.port, acknowledged, note)
        assert server.process.poll() is None, "the server is gone"
        server.process.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            assert await trio.to_thread.run_sync(server.process.wait, abandon_on_cancel=True) == 0
        check_file(server.database, acknowledged)
    print(
        f"{writes / SOAK_S:.0f} writes/s, {acknowledged.statuses}, "
        f"rss {ceilings.rss_bytes >> 20} MiB, log {ceilings.wal_bytes >> 20} MiB"
    )
    assert not [status for status in acknowledged.statuses if status >= 300], acknowledged.statuses
    assert ceilings.rss_bytes < RSS_BYTES_MAX
    assert ceilings.wal_bytes < WAL_BYTES_MAX
    assert writes > WRITES_AT_LEAST_PER_S * SOAK_S
    assert min(map(len, (acknowledged.runs, acknowledged.lines, acknowledged.events))) > 0
