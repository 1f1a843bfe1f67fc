"""The journal: groups, undoing, failing disks, vanished callers, ends."""

from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
import trio
import trio.testing

from lictor.actors.executor import InlineExecutor, ThreadExecutor
from lictor.actors.journal import GroupFailed, Journal
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Conflict, Unavailable

T = TypeVar("T")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lictor.db"


@pytest.fixture
def connection(path: Path) -> Iterator[apsw.Connection]:
    connection = sqlite.open_writer(path)
    connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE) STRICT")
    connection.execute(
        "CREATE TABLE remark (note_id INTEGER REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    yield connection
    connection.close()


@pytest.fixture
def stored(path: Path) -> Callable[[], list[str]]:
    """What another connection sees: committed notes."""

    def read() -> list[str]:
        with apsw.Connection(str(path)) as other:
            notes = [text for (text,) in other.execute("SELECT text FROM note ORDER BY id")]
        other.close()
        return notes

    return read


class HeldExecutor(InlineExecutor):
    """Holds every call until `open`, so that a test decides what waits together."""

    def __init__(self) -> None:
        self.gate = trio.Event()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await self.gate.wait()
        return await super().run(function)


def add(text: str) -> Callable[[Tx], str]:
    def job(tx: Tx) -> str:
        tx.run("INSERT INTO note (text) VALUES (?)", (text,))
        tx.publish(text)
        return text

    return job


def add_and_fail(text: str) -> Callable[[Tx], str]:
    def job(tx: Tx) -> str:
        add(text)(tx)
        raise Conflict(f"{text} is refused")

    return job


@asynccontextmanager
async def serving(journal: Journal):  # type: ignore[no-untyped-def]
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield
        journal.close()


async def all_answers(journal: Journal, *jobs: Callable[[Tx], object]) -> list[object]:
    """Write all at once, so that they share a group; each job's value or exception."""
    answers: list[object] = [None] * len(jobs)

    async def write(index: int, job: Callable[[Tx], object]) -> None:
        try:
            answers[index] = await journal.write(job)
        except Exception as error:
            answers[index] = error

    async with trio.open_nursery() as nursery:
        for index, job in enumerate(jobs):
            nursery.start_soon(write, index, job)
    return answers


async def test_jobs_that_wait_together_share_one_commit(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    executor = HeldExecutor()
    journal = Journal(connection, executor)
    commits: list[object] = []
    journal.subscribe(commits.append)
    async with serving(journal), trio.open_nursery() as nursery:
        nursery.start_soon(journal.write, add("first"))
        await trio.testing.wait_all_tasks_blocked()
        for text in "abcd":
            nursery.start_soon(journal.write, add(text))
        await trio.testing.wait_all_tasks_blocked()
        executor.gate.set()
    assert [len(commit) for commit in commits] == [1, 4]  # type: ignore[arg-type]
    assert sorted(stored()) == ["a", "b", "c", "d", "first"]


async def test_a_group_has_a_limit(connection: apsw.Connection) -> None:
    journal = Journal(connection, InlineExecutor(), group_limit=3)
    commits: list[list[object]] = []
    journal.subscribe(commits.append)
    async with trio.open_nursery() as nursery:
        for number in range(7):
            nursery.start_soon(journal.write, add(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        async with serving(journal):
            pass
    assert [len(commit) for commit in commits] == [3, 3, 1]


@pytest.mark.parametrize("neighbours", [0, 1, 5])
async def test_a_failing_job_is_undone_alone(
    connection: apsw.Connection, stored: Callable[[], list[str]], neighbours: int
) -> None:
    journal = Journal(connection, InlineExecutor())
    published: list[object] = []
    journal.subscribe(published.extend)
    good = [f"good {number}" for number in range(neighbours)]
    async with serving(journal):
        answers = await all_answers(journal, *map(add, good), add_and_fail("bad"))
        assert await journal.write(add("afterwards")) == "afterwards"
    assert answers[:-1] == good
    assert isinstance(answers[-1], Conflict)
    assert sorted(stored()) == sorted([*good, "afterwards"])
    assert sorted(map(str, published)) == sorted([*good, "afterwards"])


async def test_a_job_may_survive_its_own_failed_statement(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    def careful(tx: Tx) -> str:
        try:
            add("twice")(tx)
            tx.many("INSERT INTO note (text) VALUES (?)", [("third",), ("twice",)])
        except apsw.ConstraintError:
            tx.run("UPDATE note SET text = 'once' WHERE text = 'twice'")
        return "careful"

    journal = Journal(connection, InlineExecutor())
    async with serving(journal):
        assert await all_answers(journal, careful, add("a")) == ["careful", "a"]
    assert sorted(stored()) == ["a", "once", "third"]


async def test_what_was_published_is_seen_only_once_it_is_on_disk_and_before_the_answer(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    journal = Journal(connection, InlineExecutor())
    order: list[object] = []

    def subscriber(items: list[object]) -> None:
        assert stored() == items
        order.append("published")

    journal.subscribe(subscriber)

    def job(tx: Tx) -> None:
        add("a")(tx)
        assert stored() == []
        order.append("ran")

    async with serving(journal):
        await journal.write(job)
        order.append("answered")
    assert order == ["ran", "published", "answered"]


def fill_the_disk(connection: apsw.Connection) -> Callable[[], None]:
    limit = connection.pragma("max_page_count")
    connection.pragma("max_page_count", connection.pragma("page_count"))
    return lambda: connection.pragma("max_page_count", limit)


def forbid_writing(connection: apsw.Connection) -> Callable[[], None]:
    connection.pragma("query_only", True)
    return lambda: connection.pragma("query_only", False)


def hold_the_lock(connection: apsw.Connection) -> Callable[[], None]:
    connection.set_busy_timeout(0)
    other = apsw.Connection(connection.filename)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def interrupt_everything(connection: apsw.Connection) -> Callable[[], None]:
    connection.set_progress_handler(lambda: True, 1)
    return lambda: connection.set_progress_handler(None)


@pytest.mark.parametrize("neighbours", [0, 4])
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (fill_the_disk, "disk is full"),
        (forbid_writing, "read-only"),
        (hold_the_lock, "Another program"),
        (interrupt_everything, "interrupted"),
    ],
)
async def test_a_failing_disk_refuses_the_whole_group_and_the_next_is_tried_afresh(
    connection: apsw.Connection,
    stored: Callable[[], list[str]],
    trouble: Callable[[apsw.Connection], Callable[[], None]],
    reason: str,
    neighbours: int,
) -> None:
    journal = Journal(connection, InlineExecutor())
    published: list[object] = []
    journal.subscribe(published.extend)
    big = "x" * 100_000
    names = [f"neighbour {number}" for number in range(neighbours)]
    async with serving(journal):
        repair = trouble(connection)
        answers = await all_answers(journal, *map(add, names), add(big))
        for answer in answers:
            assert isinstance(answer, Unavailable)
            assert reason in answer.reason
        assert len({id(answer) for answer in answers}) == len(answers)
        assert connection.getautocommit()
        repair()
        assert stored() == []
        assert await all_answers(journal, add("a"), add(big)) == ["a", big]
    assert sorted(map(str, published)) == sorted(stored()) == ["a", big]


@pytest.mark.parametrize("neighbours", [0, 4])
async def test_a_job_cannot_go_on_after_its_transaction_was_lost(
    connection: apsw.Connection, stored: Callable[[], list[str]], neighbours: int
) -> None:
    """SQLite undoes everything when the disk is full: what came next would be half of a job."""

    def stubborn(tx: Tx) -> str:
        with pytest.raises(apsw.FullError):
            add("x" * 100_000)(tx)
        for attempt in (
            lambda: tx.run("INSERT INTO note (text) VALUES ('alone')"),
            lambda: tx.many("INSERT INTO note (text) VALUES (?)", [("alone",)]),
            lambda: tx.one("INSERT INTO note (text) VALUES ('alone') RETURNING id"),
            lambda: tx.all("INSERT INTO note (text) VALUES ('alone') RETURNING id"),
        ):
            with pytest.raises(apsw.AbortError):
                attempt()
        return "all is well"

    journal = Journal(connection, InlineExecutor())
    names = [f"neighbour {number}" for number in range(neighbours)]
    async with serving(journal):
        repair = fill_the_disk(connection)
        answers = await all_answers(journal, *map(add, names), stubborn)
        repair()
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert stored() == []
        assert await journal.write(add("next")) == "next"
    assert stored() == ["next"]


async def test_a_commit_spoiled_by_a_bug_is_reported_as_one(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    def dangle(tx: Tx) -> None:
        tx.run("INSERT INTO remark VALUES (999)")

    journal = Journal(connection, InlineExecutor())
    async with serving(journal):
        answers = await all_answers(journal, add("a"), dangle)
        assert all(isinstance(answer, GroupFailed) for answer in answers)
        assert stored() == []
        assert await journal.write(add("b")) == "b"
    assert stored() == ["b"]


async def test_a_cancelled_caller_takes_back_a_job_that_has_not_begun(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    journal = Journal(connection, InlineExecutor())
    with trio.CancelScope() as scope:
        scope.cancel()
        await journal.write(add("gone"))
    async with serving(journal):
        await journal.write(add("here"))
    assert stored() == ["here"]


async def test_a_job_that_has_begun_is_done_wholly_though_its_caller_has_gone(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    scope = trio.CancelScope()

    def job(tx: Tx) -> None:
        add("first half")(tx)
        scope.cancel()
        add("second half")(tx)

    journal = Journal(connection, InlineExecutor())
    async with serving(journal):
        with scope:
            await journal.write(job)
        assert scope.cancelled_caught
    assert stored() == ["first half", "second half"]


async def test_closing_writes_what_waits_and_refuses_what_comes(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    journal = Journal(connection, InlineExecutor(), group_limit=2)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(journal.write, add(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        journal.close()
        with pytest.raises(Unavailable, match="stopping"):
            await journal.write(add("late"))
        await journal.run()
    with pytest.raises(Unavailable, match="stopping"):
        await journal.between_groups(lambda _: None)
    assert sorted(stored()) == ["0", "1", "2", "3", "4"]


async def test_a_full_mailbox_is_refused_before_anything_is_done(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    journal = Journal(connection, InlineExecutor(), mailbox_limit=3)
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(journal.write, add(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="journal has 3 requests waiting"):
            await journal.write(add("one more"))
        async with serving(journal):
            pass
    assert len(stored()) == 3


async def test_a_cancelled_journal_finishes_its_group_and_refuses_the_rest(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    executor = HeldExecutor()
    journal = Journal(connection, executor)
    answers: list[object] = []
    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        callers.start_soon(_collect, answers, journal, "begun")
        await trio.testing.wait_all_tasks_blocked()
        callers.start_soon(_collect, answers, journal, "waiting")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        executor.gate.set()
    assert sorted(map(str, answers)) == ["The server is stopping.", "begun"]
    assert stored() == ["begun"]


async def _collect(answers: list[object], journal: Journal, text: str) -> None:
    try:
        answers.append(await journal.write(add(text)))
    except Unavailable as error:
        answers.append(error.reason)


async def test_a_bug_in_a_subscriber_ends_the_journal_yet_what_is_stored_is_answered(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    journal = Journal(connection, InlineExecutor(), group_limit=2)
    answers: list[object] = []

    def broken(_items: list[object]) -> None:
        raise ZeroDivisionError

    journal.subscribe(broken)
    async with trio.open_nursery() as callers:
        for text in "abc":
            callers.start_soon(_collect, answers, journal, text)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ZeroDivisionError):
            await journal.run()
    kept = stored()
    assert len(kept) == 2
    assert sorted(map(str, answers)) == sorted([*kept, "The server is stopping."])
    with pytest.raises(Unavailable):
        await journal.write(add("d"))
    with pytest.raises(Unavailable):
        await journal.between_groups(lambda _: None)


async def test_a_bug_in_the_journal_itself_wakes_everyone(connection: apsw.Connection) -> None:
    executor = ThreadExecutor("closed")
    executor.close()
    journal = Journal(connection, executor, group_limit=2)
    answers: list[object] = []
    async with trio.open_nursery() as callers:
        for text in "abc":
            callers.start_soon(_collect, answers, journal, text)
        callers.start_soon(_between, answers, journal)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Exception, match="executor closed is closed"):
            await journal.run()
    assert answers == ["The server is stopping."] * 4


async def _between(answers: list[object], journal: Journal) -> None:
    try:
        await journal.between_groups(lambda _: None)
    except Unavailable as error:
        answers.append(error.reason)


async def test_an_exit_inside_a_job_leaves_no_transaction_open(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    def exit_now(tx: Tx) -> None:
        add("a")(tx)
        raise SystemExit(3)

    journal = Journal(connection, InlineExecutor())
    answers: list[object] = []

    async def write() -> None:
        try:
            await journal.write(exit_now)
        except Unavailable as error:
            answers.append(error.reason)

    async with trio.open_nursery() as callers:
        callers.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(SystemExit):
            await journal.run()
    assert answers == ["The server is stopping."]
    assert connection.getautocommit()
    assert stored() == []


async def test_work_between_groups_has_the_connection_for_itself(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    executor = HeldExecutor()
    journal = Journal(connection, executor, group_limit=2)
    seen: list[tuple[bool, int]] = []

    def look(connection: apsw.Connection) -> None:
        seen.append((connection.getautocommit(), len(stored())))

    def fail(_connection: apsw.Connection) -> None:
        raise ZeroDivisionError

    async with serving(journal), trio.open_nursery() as nursery:
        nursery.start_soon(journal.between_groups, look)
        await trio.testing.wait_all_tasks_blocked()
        for text in "abc":
            nursery.start_soon(journal.write, add(text))
        await trio.testing.wait_all_tasks_blocked()
        executor.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ZeroDivisionError):
            await journal.between_groups(fail)
        await journal.between_groups(look)
    assert seen == [(True, 0), (True, 3)]


async def test_watchers_of_the_log_are_told_its_length(connection: apsw.Connection) -> None:
    journal = Journal(connection, InlineExecutor())
    lengths: list[int] = []
    journal.watch_wal(lengths.append)
    async with serving(journal):
        for number in range(3):
            await journal.write(add(str(number)))
        await journal.between_groups(partial(sqlite.checkpoint, mode="restart", wait_ms=0))
        await journal.write(add("a new log"))
    # Three growing lengths, the empty group that woke the journal, and a log begun anew.
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[-1] < lengths[0]


async def test_many_writers_on_a_real_thread_all_get_their_own_answer(
    connection: apsw.Connection, stored: Callable[[], list[str]]
) -> None:
    executor = ThreadExecutor("writer")
    journal = Journal(connection, executor, group_limit=16)
    wrong: list[object] = []

    async def client(number: int) -> None:
        for turn in range(10):
            text = f"{number}:{turn}"
            if turn % 3 == 2:
                with pytest.raises(Conflict, match=text):
                    await journal.write(add_and_fail(text))
            elif await journal.write(add(text)) != text:
                wrong.append(text)

    async with serving(journal), trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(client, number)
    executor.close()
    assert not wrong
    assert len(stored()) == 40 * 7
