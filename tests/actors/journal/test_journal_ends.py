"""The journal: vanished callers, full mailboxes, and every way to end."""

from collections.abc import Callable

import apsw
import pytest
import trio
import trio.testing
from journal_kit import HeldExecutor, add, serving

from lictor.actors.executor import InlineExecutor, ThreadExecutor
from lictor.actors.journal import Journal
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable


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
