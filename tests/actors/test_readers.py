"""Readers: budgets, threads, limits, interrupted and failing reads."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from lictor.actors.executor import InlineExecutor, ThreadExecutor
from lictor.actors.readers import Readers
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import NotFound, Unavailable

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lictor.db"
    sqlite.open_writer(path).close()
    return path


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[[], apsw.Connection]]:
    opened: list[apsw.Connection] = []

    def open_one() -> apsw.Connection:
        opened.append(sqlite.open_reader(path))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def threads() -> Iterator[list[ThreadExecutor]]:
    executors = [ThreadExecutor(f"reader {number}") for number in range(2)]
    yield executors
    for executor in executors:
        executor.close()


def thread_of(tx: ReadTx) -> int:
    assert tx.one("SELECT 1") == (1,)
    return threading.get_ident()


async def test_a_short_read_stays_on_the_loop(
    connect: Callable[[], apsw.Connection], threads: list[ThreadExecutor]
) -> None:
    readers = Readers(connect(), [(connect(), threads[0])])
    assert await readers.read(thread_of) == threading.get_ident()
    assert readers.inline(thread_of) == threading.get_ident()
    assert await readers.read_on_thread(thread_of) != threading.get_ident()


async def test_a_long_read_moves_to_a_thread_and_the_loop_is_free_again(
    connect: Callable[[], apsw.Connection], threads: list[ThreadExecutor]
) -> None:
    loop = connect()
    readers = Readers(loop, [(connect(), threads[0])])
    me = threading.get_ident()

    def query(tx: ReadTx) -> str:
        if threading.get_ident() == me:
            tx.one(ENDLESS)
        return "found"

    assert await readers.read(query) == "found"
    assert loop.getautocommit()
    # Later reads on the loop are not interrupted by a deadline that has passed.
    assert readers.inline(lambda tx: tx.one("SELECT 2")) == (2,)


async def test_an_endless_read_is_refused_and_its_thread_serves_the_next(
    connect: Callable[[], apsw.Connection], threads: list[ThreadExecutor]
) -> None:
    on_thread = connect()
    readers = Readers(connect(), [(on_thread, threads[0])], time_limit_s=0.02)
    with pytest.raises(Unavailable, match=r"took longer than 0.02 s"):
        await readers.read(lambda tx: tx.one(ENDLESS))
    assert on_thread.getautocommit()
    assert await readers.read_on_thread(lambda tx: tx.one("SELECT 3")) == (3,)


async def test_a_read_nobody_waits_for_is_interrupted(
    connect: Callable[[], apsw.Connection], threads: list[ThreadExecutor]
) -> None:
    readers = Readers(connect(), [(connect(), threads[0])], time_limit_s=1_000_000)
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def query(tx: ReadTx) -> object:
        token.run_sync_soon(begun.set)
        return tx.one(ENDLESS)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(readers.read_on_thread, query)
            await begun.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert await readers.read_on_thread(lambda tx: tx.one("SELECT 4")) == (4,)


async def test_one_query_sees_one_moment(
    path: Path, connect: Callable[[], apsw.Connection]
) -> None:
    writer = sqlite.open_writer(path)
    readers = Readers(connect(), [(connect(), InlineExecutor())])

    def query(tx: ReadTx) -> bool:
        before = tx.one("SELECT count(*) FROM flow")
        writer.execute("INSERT INTO flow VALUES (NULL, 'i', 'c', 'u', 'n', '[]', '{}')")
        return tx.one("SELECT count(*) FROM flow") == before

    assert await readers.read(query)
    writer.close()


async def test_too_many_waiting_reads_are_refused(
    connect: Callable[[], apsw.Connection], threads: list[ThreadExecutor]
) -> None:
    readers = Readers(connect(), [(connect(), threads[0])], waiting_limit=2)
    go_on = threading.Event()
    refused: list[str] = []
    answers: list[object] = []

    def query(tx: ReadTx) -> object:
        go_on.wait()
        return tx.one("SELECT 1")

    async def read() -> None:
        try:
            answers.append(await readers.read_on_thread(query))
        except Unavailable as error:
            refused.append(error.reason)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert refused == ["2 searches are waiting; try again shortly."] * 2
    assert answers == [(1,)] * 3


async def test_a_read_waits_for_a_thread_no_longer_than_it_may_run(
    connect: Callable[[], apsw.Connection], autojump_clock: trio.testing.MockClock
) -> None:
    class NeverDone(InlineExecutor):
        async def run(self, function, on_cancel=None):  # type: ignore[no-untyped-def]
            await trio.sleep_forever()

    readers = Readers(connect(), [(connect(), NeverDone())], time_limit_s=30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readers.read_on_thread, thread_of)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(Unavailable, match="Other searches take too long"):
            await readers.read_on_thread(thread_of)
        assert trio.current_time() - began == 30
        nursery.cancel_scope.cancel()


async def test_a_refusal_inside_a_query_is_the_callers(
    connect: Callable[[], apsw.Connection],
) -> None:
    loop, on_thread = connect(), connect()
    readers = Readers(loop, [(on_thread, InlineExecutor())])

    def query(_tx: ReadTx) -> None:
        raise NotFound("no such run")

    for read in (readers.read, readers.read_on_thread):
        with pytest.raises(NotFound):
            await read(query)
    assert loop.getautocommit()
    assert on_thread.getautocommit()


async def test_a_failing_disk_is_told_as_such_and_a_bug_is_not(
    connect: Callable[[], apsw.Connection],
) -> None:
    readers = Readers(connect(), [(connect(), InlineExecutor())])

    def fail(_tx: ReadTx) -> None:
        raise apsw.IOError("disk I/O error")

    def misspell(tx: ReadTx) -> None:
        tx.one("SELEKT 1")

    for read in (readers.read, readers.read_on_thread):
        with pytest.raises(Unavailable, match="disk failed"):
            await read(fail)
        with pytest.raises(apsw.SQLError):
            await read(misspell)
    with pytest.raises(Unavailable, match="disk failed"):
        readers.inline(fail)
    with pytest.raises(apsw.SQLError):
        readers.inline(misspell)


async def test_readers_cannot_write(connect: Callable[[], apsw.Connection]) -> None:
    readers = Readers(connect(), [])
    with pytest.raises(Unavailable, match="read-only"):
        readers.inline(lambda tx: tx.one("DELETE FROM flow RETURNING 1"))
