"""The checkpointer: the log stays short, readers and a replicator are respected."""

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from lictor.actors.checkpointer import Checkpointer
from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import Journal
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx


class Bench:
    """A journal and its checkpointer on one file, with small limits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = sqlite.open_writer(path)
        self.writer.execute("CREATE TABLE note (text TEXT) STRICT")
        sqlite.checkpoint(self.writer, "restart")
        self.connection = sqlite.open_checkpointer(path)
        self.journal = Journal(self.writer, InlineExecutor())
        self.checkpointer = Checkpointer(
            self.connection,
            InlineExecutor(),
            self.journal,
            passive_pages=10,
            reset_pages=40,
        )

    async def write(self, pages: int = 1) -> int:
        """Write a few pages; the length of the log right after."""

        def job(tx: Tx) -> None:
            for _ in range(pages):
                tx.run("INSERT INTO note VALUES (?)", ("x" * 4_000,))

        await self.journal.write(job)
        pages = self.journal.wal_pages
        await trio.testing.wait_all_tasks_blocked()
        return pages

    def in_file(self) -> int:
        """How many pages of the log are in the file."""
        return self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "lictor.db")
    yield bench
    bench.connection.close()
    bench.writer.close()


@pytest.fixture
async def running(bench: Bench, nursery: trio.Nursery) -> Bench:
    await nursery.start(bench.journal.run)
    await nursery.start(bench.checkpointer.run)
    return bench


@pytest.fixture
def hold_log(bench: Bench) -> Iterator[Callable[[], apsw.Connection]]:
    """A reader that stays in the log at the present moment."""
    readers: list[apsw.Connection] = []

    def hold() -> apsw.Connection:
        reader = sqlite.open_reader(bench.path)
        readers.append(reader)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchall()
        return reader

    yield hold
    for reader in readers:
        reader.close()


async def test_a_short_log_is_left_alone(running: Bench) -> None:
    assert await running.write(2) < 10
    assert running.in_file() == 0


async def test_a_log_past_the_limit_is_moved_and_begins_anew(running: Bench) -> None:
    lengths = [await running.write(3) for _ in range(40)]
    assert max(lengths) < 30
    assert sum(after < before for before, after in itertools.pairwise(lengths)) >= 3


async def test_a_reader_in_the_log_delays_its_end_but_no_writer(
    running: Bench, hold_log: Callable[[], apsw.Connection]
) -> None:
    await running.write(2)
    reader = hold_log()
    lengths = [await running.write(4) for _ in range(20)]
    assert lengths[-1] > 80
    assert running.in_file() < lengths[-1]
    reader.execute("ROLLBACK")
    assert min([await running.write(4) for _ in range(6)]) < 20


async def test_the_log_of_a_writer_that_never_pauses_still_ends(
    running: Bench, hold_log: Callable[[], apsw.Connection]
) -> None:
    """A passive checkpoint is always a little behind; only standing still lets the log end."""
    passive = running.checkpointer._checkpoint

    async def always_behind(mode: sqlite.CheckpointMode, wait_ms: int = 0) -> tuple[int, int]:
        reader = hold_log()
        running.writer.execute("INSERT INTO note VALUES ('meanwhile')")
        pages, moved = await passive(mode, wait_ms)
        assert moved < pages
        reader.close()
        return pages, moved

    running.checkpointer._checkpoint = always_behind  # type: ignore[method-assign]
    lengths = [await running.write(4) for _ in range(60)]
    assert 40 <= max(lengths) < 70
    assert lengths[-1] < 60


async def test_a_suspended_checkpointer_touches_nothing(running: Bench) -> None:
    running.checkpointer.is_suspended = True
    for _ in range(10):
        await running.write(10)
    assert running.journal.wal_pages > 100
    assert running.in_file() == 0
    await running.checkpointer.finish()
    assert running.in_file() == 0
    running.checkpointer.is_suspended = False
    await running.write()
    assert running.in_file() > 100


async def test_a_failing_disk_is_met_again_later(
    running: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    working = running.checkpointer._checkpoint
    attempts: list[int] = []

    async def broken(mode: sqlite.CheckpointMode, wait_ms: int = 0) -> tuple[int, int]:
        attempts.append(running.journal.wal_pages)
        if len(attempts) <= 2:
            raise apsw.IOError("disk I/O error")
        return await working(mode, wait_ms)

    running.checkpointer._checkpoint = broken  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            await running.write(2)
    assert len(caplog.records) == 2
    assert attempts[1] >= attempts[0] + 10
    assert running.journal.wal_pages < 20


async def test_a_bug_ends_the_checkpointer(bench: Bench) -> None:
    bench.connection.close()
    with pytest.raises(apsw.ConnectionClosedError):
        await bench.checkpointer.run_once()


async def test_the_last_checkpoint_leaves_an_empty_log(bench: Bench) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.journal.run)
        await bench.write(5)
        bench.journal.close()
    assert bench.path.with_name("lictor.db-wal").stat().st_size > 0
    await bench.checkpointer.finish()
    assert bench.path.with_name("lictor.db-wal").stat().st_size == 0
