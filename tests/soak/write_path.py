"""Measures the write path: `python tests/soak/write_path.py DIRECTORY` (an empty one).

Clients share one loop with the journal, as in the server: each spends some Python time (what a
request costs to decode and encode), then has a state set by the real command. Modes take turns, so
that what else the machine does hits all of them alike.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import trio

from lictor.actors.checkpointer import Checkpointer
from lictor.actors.executor import Executor, InlineExecutor, ThreadExecutor
from lictor.actors.journal import Journal, _Pending
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import flow_runs
from lictor.schema.mint import Mint
from lictor.schema.wire.flow_runs import FlowRunCreate
from lictor.schema.wire.states import SetState

CLIENTS = 16
REQUEST_S = 0.000_15
ROUND_S = 1.5
ROUNDS = 6
RUNS = 64
FLOW_ID = "0190a000-0000-7000-8000-000000000001"
NOW = "2026-11-21T12:00:00.000000Z"


class CommitInThread(Journal):
    """SQL on the loop, only the COMMIT in the thread."""

    async def _write_group(self, group: list[_Pending]) -> None:
        self._tx.begin()
        for pending in group:
            self._run_one(pending)
        await self._executor.run(self._tx.commit)
        for pending in group:
            pending.done.set()


class NoSavepoints(Journal):
    """What savepoints cost; wrong, since a failing job would leave its first half."""

    def _run_one(self, pending: _Pending) -> None:
        pending.value = pending.job(self._tx)


class Mode:
    """One way to write, and what was measured of it."""

    def __init__(
        self,
        name: str,
        journal: type[Journal] = Journal,
        executor: Callable[[], Executor] = lambda: ThreadExecutor("writer"),
        switch_s: float = 0.005,
        clients: int = CLIENTS,
        passive_pages: int = 1_000,
        autocheckpoint: int = 0,
        temp_store: str = "MEMORY",
    ) -> None:
        self.name = name
        self.journal = journal
        self.executor = executor
        self.switch_s = switch_s
        self.clients = clients
        self.passive_pages = passive_pages
        self.autocheckpoint = autocheckpoint
        self.temp_store = temp_store
        self.per_s: list[float] = []
        self.p50_ms: list[float] = []
        self.p99_ms: list[float] = []
        self.worst_ms: list[float] = []
        self.cpu_us: list[float] = []

    def line(self) -> str:
        median = statistics.median
        return (
            f"{self.name:<44} {median(self.per_s):7.0f}/s (best {max(self.per_s):5.0f})"
            f"  p50 {median(self.p50_ms):6.2f}  p99 {median(self.p99_ms):6.2f}"
            f"  worst {median(self.worst_ms):6.1f} ms  cpu {median(self.cpu_us):5.0f} us/job"
        )


MODES = (
    Mode("group in the writer's thread"),
    Mode("the same, switch interval 0.5 ms", switch_s=0.000_5),
    Mode("SQL on the loop, COMMIT in the thread", CommitInThread),
    Mode("the same, switch interval 0.5 ms ", CommitInThread, switch_s=0.000_5),
    Mode("all on the loop", executor=InlineExecutor),
    Mode("group in thread, no savepoints (wrong)", NoSavepoints),
    Mode("group in thread, savepoints spill to disk", temp_store="FILE"),
    Mode("checkpoints on the commit (1,000 pages)", passive_pages=10**9, autocheckpoint=1_000),
    Mode("no checkpoints at all", passive_pages=10**9),
    Mode("1 client, group in thread", clients=1),
    Mode("1 client, SQL on loop, COMMIT in thread", CommitInThread, clients=1),
)


async def measure(mode: Mode, path: Path) -> None:
    """One round of `mode` on a file of its own."""
    mint, settings = Mint(random=random.Random(1)), Settings()
    connection = sqlite.open_writer(path)
    connection.pragma("temp_store", mode.temp_store)
    runs = _prepare(connection, mint, settings)
    executor, checkpoints = mode.executor(), ThreadExecutor("checkpointer")
    journal = mode.journal(connection, executor)
    if mode.autocheckpoint:
        connection.set_wal_hook(None)
        connection.pragma("wal_autocheckpoint", mode.autocheckpoint)
    checkpointer = Checkpointer(
        sqlite.open_checkpointer(path), checkpoints, journal, passive_pages=mode.passive_pages
    )
    took: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        nursery.start_soon(checkpointer.run)
        with trio.move_on_after(ROUND_S):
            async with trio.open_nursery() as clients:
                for number in range(mode.clients):
                    clients.start_soon(client, journal, runs, random.Random(number), mint, took)
        nursery.cancel_scope.cancel()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    took.sort()
    mode.per_s.append(len(took) / seconds)
    mode.p50_ms.append(took[len(took) // 2] * 1e3)
    mode.p99_ms.append(took[len(took) * 99 // 100] * 1e3)
    mode.worst_ms.append(took[-1] * 1e3)
    mode.cpu_us.append(cpu / len(took) * 1e6)
    executor.close()
    checkpoints.close()
    connection.close()


def _prepare(connection: Any, mint: Mint, settings: Settings) -> list[str]:
    tx = sqlite.GroupTx(connection)
    tx.begin()
    tx.run(
        "INSERT INTO flow (id, created, updated, name, tags, labels)"
        " VALUES (?, ?, ?, 'hello', '[]', '{}')",
        (FLOW_ID, NOW, NOW),
    )
    body = FlowRunCreate(flow_id=UUID(FLOW_ID), tags=["a"])
    runs = [flow_runs.create(tx, body, None, mint, settings)[0].id for _ in range(RUNS)]
    tx.commit()
    return runs


async def client(
    journal: Journal, runs: list[str], chance: random.Random, mint: Mint, took: list[float]
) -> None:
    settings, decode = Settings(), msgspec.json.Decoder(SetState).decode
    body = b'{"state":{"type":"%s","message":"hello","state_details":{}},"force":true}'
    while True:
        began = time.perf_counter()
        while time.perf_counter() - began < REQUEST_S:
            request = decode(body % chance.choice((b"PENDING", b"RUNNING", b"SCHEDULED")))

        def job(tx: Tx, id_: str = chance.choice(runs), request: SetState = request) -> object:
            return flow_runs.set_state(tx, id_, request, mint, settings)

        await journal.write(job)
        took.append(time.perf_counter() - began)


def main() -> None:
    directory = Path(sys.argv[1])
    for round_ in range(ROUNDS):
        for number, mode in enumerate(MODES):
            sys.setswitchinterval(mode.switch_s)
            path = directory / f"{round_}-{number}.db"
            trio.run(measure, mode, path)
            for leftover in directory.glob(f"{path.name}*"):
                leftover.unlink()
    for mode in MODES:
        print(mode.line())


if __name__ == "__main__":
    main()
