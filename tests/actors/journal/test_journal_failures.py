"""The journal when the disk fails or a job spoils its transaction."""

from collections.abc import Callable

import apsw
import pytest
from journal_kit import add, all_answers, serving

from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import GroupFailed, Journal
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable


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
