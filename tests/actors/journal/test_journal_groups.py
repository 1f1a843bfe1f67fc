"""The journal: what a group is, what it undoes, what has the connection between two groups."""

from collections.abc import Callable
from functools import partial

import apsw
import pytest
import trio
import trio.testing
from journal_kit import HeldExecutor, add, add_and_fail, all_answers, serving

from lictor.actors.executor import InlineExecutor, ThreadExecutor
from lictor.actors.journal import Journal
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Conflict


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
