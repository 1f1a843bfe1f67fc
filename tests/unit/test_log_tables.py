"""The log tables: deleting, reading on, and the indexes behind the searches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import ReadTx
from lictor.schema.filters.logs import LogFilter, TextSearch
from lictor.schema.filters.text_query import QUERY_LENGTH_MAX
from lictor.schema.mint import Mint
from lictor.schema.tables import logs
from lictor.schema.tables.logs import StoredLogs
from lictor.schema.wire.logs import LogCreate

RUN, OTHER = UUID(int=1), UUID(int=2)
TASK, LONE_TASK = UUID(int=11), UUID(int=12)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    ns = 1_000_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mint(clock: Clock) -> Mint:
    return Mint(clock, random.Random(1))


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[sqlite.SqliteTx]:
    connection = sqlite.open_writer(tmp_path / "lictor.db", synchronous="OFF")
    yield sqlite.SqliteTx(connection)
    connection.close()


def lines(count: int, flow: UUID | None = RUN, task: UUID | None = None) -> list[LogCreate]:
    return [LogCreate("name", 20, f"{n}", NOON, flow, task) for n in range(count)]


def messages(tx: sqlite.SqliteTx) -> list[str]:
    return [log.message for log in logs.search(tx, None, "TIMESTAMP_ASC", 1000, 0)]


def runs(tx: sqlite.SqliteTx) -> set[str]:
    return {row[0] for row in tx.all("SELECT id FROM log_run")}


def test_a_batch_that_is_sent_again_is_stored_once(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, [*lines(1, OTHER), *lines(3, task=TASK), *lines(1)], mint)
    until = logs.newest_seq(tx)
    logs.insert_unless_repeated(tx, [lines(3, task=TASK), lines(2, OTHER)], mint, until)
    assert logs.newest_seq(tx) == until + 2


@pytest.mark.parametrize(
    "batch",
    [
        [LogCreate("name", 20, "0", NOON, RUN, TASK), LogCreate("name", 20, "1", NOON, RUN)],
        [LogCreate("name", 20, "0", NOON, RUN), LogCreate("other", 20, "1", NOON, RUN)],
        [LogCreate("name", 20, "0", NOON, RUN), LogCreate("name", 30, "1", NOON, RUN)],
        [LogCreate("name", 20, "0", NOON, RUN), LogCreate("name", 20, "2", NOON, RUN)],
        [LogCreate("name", 20, "0", NOON, RUN), LogCreate("name", 20, "1", NOON, OTHER)],
        [LogCreate("name", 20, f"{n}", NOON, RUN) for n in range(3)],
        [LogCreate("name", 20, "0", NOON), LogCreate("name", 20, "1", NOON)],
    ],
)
def test_a_batch_that_differs_anywhere_is_stored(
    tx: sqlite.SqliteTx, mint: Mint, batch: list[LogCreate]
) -> None:
    logs.insert(tx, lines(2), mint)
    logs.insert_unless_repeated(tx, [batch], mint, 2)
    assert logs.newest_seq(tx) == 2 + len(batch)


def test_lines_of_one_moment_are_few_to_compare_a_batch_with(
    tx: sqlite.SqliteTx, mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.insert(tx, lines(200), mint)
    logs.insert(tx, [line for _ in range(100) for line in lines(1)], mint)
    compared: list[int] = []
    read = logs._lines_at

    def counting(tx: ReadTx, seq: int, count: int) -> list[tuple[Any, ...]]:
        compared.append(seq)
        return read(tx, seq, count)

    monkeypatch.setattr(logs, "_lines_at", counting)
    new, again, alike = lines(201)[150:], lines(200)[150:], lines(2)
    logs.insert_unless_repeated(tx, [new, again, alike], mint, stored_until=300)
    assert logs.newest_seq(tx) == 300 + len(new) + len(alike)
    assert len(compared) == 2 + logs.STARTS_MAX


def test_what_was_stored_since_the_start_is_no_reason_to_skip_a_batch(
    tx: sqlite.SqliteTx, mint: Mint
) -> None:
    logs.insert(tx, lines(1, OTHER), mint)
    logs.insert(tx, lines(2), mint)
    logs.insert_unless_repeated(tx, [lines(2)], mint, stored_until=1)
    assert logs.newest_seq(tx) == 5


def test_deleting_a_flow_run_takes_its_lines_and_forgets_its_runs(
    tx: sqlite.SqliteTx, mint: Mint
) -> None:
    logs.insert(tx, lines(3) + lines(2, task=TASK) + lines(1, OTHER, TASK), mint)
    assert logs.delete_for_flow_run(tx, str(RUN)) == 5
    assert messages(tx) == ["0"]
    assert runs(tx) == {str(OTHER), str(TASK)}
    assert logs.delete_for_flow_run(tx, str(RUN)) == 0


def test_deleting_in_bounded_steps_ends_with_nothing(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, lines(5, task=TASK), mint)
    assert [logs.delete_for_flow_run(tx, str(RUN), 2) for _ in range(4)] == [2, 2, 1, 0]
    assert runs(tx) == set()


def test_deleting_a_task_run_leaves_the_other_lines_of_its_flow_run(
    tx: sqlite.SqliteTx, mint: Mint
) -> None:
    logs.insert(tx, lines(2, task=TASK) + lines(1), mint)
    assert logs.delete_for_task_run(tx, str(TASK)) == 2
    assert messages(tx) == ["0"]
    assert runs(tx) == {str(RUN)}


def test_lines_expire_by_the_moment_they_were_stored(
    tx: sqlite.SqliteTx, mint: Mint, clock: Clock
) -> None:
    logs.insert(tx, lines(3), mint)
    clock.ns += 10**9
    now = mint.now()
    logs.insert(tx, lines(2, None, LONE_TASK), mint)
    assert [logs.delete_before(tx, now, 2) for _ in range(3)] == [2, 1, 0]
    assert messages(tx) == ["0", "1"]
    assert runs(tx) == {str(LONE_TASK)}


def test_what_is_stored_is_published_as_it_will_be_read(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, [LogCreate("n", 30, "a\0b", NOON, RUN, TASK), *lines(2, None)], mint)
    (stored,) = tx.published
    assert isinstance(stored, StoredLogs)
    assert stored.last_seq == logs.newest_seq(tx) == 3
    assert [item.log for _, item in stored.numbered()] == logs.search(
        tx, None, "TIMESTAMP_ASC", 10, 0
    )


def test_an_empty_batch_changes_nothing(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, [], mint)
    assert tx.published == []
    assert logs.newest_seq(tx) == 0


def test_reading_on_passes_every_matching_line_once(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, lines(5) + lines(4, OTHER), mint)
    criteria = LogFilter()
    seen, cursor = [], 0
    while cursor < logs.newest_seq(tx):
        page, cursor = logs.stored_after(tx, cursor, criteria, 2)
        assert len(page) <= 2
        seen += [log.id for log in page]
    assert len(seen) == len(set(seen)) == 9


def plan(tx: sqlite.SqliteTx, sql: str) -> str:
    return " | ".join(row[3] for row in tx.all(f"EXPLAIN QUERY PLAN {sql}"))


@pytest.mark.parametrize(
    ("column", "order"),
    [
        ("flow_run", "l.timestamp, l.seq"),
        ("flow_run", "l.timestamp DESC, l.seq DESC"),
        ("task_run", "l.timestamp, l.seq"),
    ],
)
def test_the_lines_of_a_run_are_read_in_order_from_an_index_alone(
    tx: sqlite.SqliteTx, column: str, order: str
) -> None:
    found = plan(tx, f"SELECT l.seq FROM log l WHERE l.{column} = 1 ORDER BY {order} LIMIT 200")
    assert f"COVERING INDEX log_by_{column}" in found
    assert "TEMP B-TREE" not in found


def test_a_page_of_the_download_begins_at_its_cursor(tx: sqlite.SqliteTx) -> None:
    found = plan(
        tx,
        "SELECT l.message FROM log l WHERE l.flow_run = 1 AND (l.timestamp, l.seq) > (5, 5)"
        " ORDER BY l.timestamp, l.seq LIMIT 10",
    )
    assert "log_by_flow_run (flow_run=? AND timestamp>?)" in found
    assert "TEMP B-TREE" not in found


def test_a_line_costs_less_than_half_of_what_its_texts_would(
    tx: sqlite.SqliteTx, mint: Mint
) -> None:
    before = tx.connection.pragma("page_count")
    message = "Finished in state Completed() after doing something"
    each = [LogCreate("prefect.flow_runs", 20, message, NOON, RUN, TASK) for _ in range(5000)]
    logs.insert(tx, each, mint)
    pages = tx.connection.pragma("page_count") - before
    assert pages * 4096 / len(each) < 140


def test_the_longest_query_is_compiled(tx: sqlite.SqliteTx, mint: Mint) -> None:
    logs.insert(tx, lines(1), mint)
    criteria = LogFilter(text=TextSearch(query="z " * (QUERY_LENGTH_MAX // 2)))
    assert logs.search(tx, criteria, "TIMESTAMP_ASC", 10, 0) == []
