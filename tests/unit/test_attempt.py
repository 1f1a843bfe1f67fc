"""`Tx.attempt`: what a part of a transaction leaves behind when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import GroupTx


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[GroupTx]:
    connection = sqlite.open_writer(tmp_path / "lictor.db", synchronous="OFF")
    tx = GroupTx(connection)
    tx.begin()
    yield tx
    tx.rollback()
    connection.close()


def put(tx: GroupTx, tag: str) -> str:
    tx.run("INSERT INTO flow_run_tag (tag, seq) VALUES (?, 1)", (tag,))
    tx.publish(tag)
    return tag


def refuse(tx: GroupTx, tag: str) -> None:
    put(tx, tag)
    raise ValueError(tag)


def tags(tx: GroupTx) -> list[str]:
    return [tag for (tag,) in tx.all("SELECT tag FROM flow_run_tag ORDER BY tag")]


def test_what_an_attempt_did_stays_or_is_undone_alone(tx: GroupTx) -> None:
    put(tx, "before")
    assert tx.attempt(lambda: put(tx, "kept")) == "kept"
    with pytest.raises(ValueError, match="lost"):
        tx.attempt(lambda: refuse(tx, "lost"))
    put(tx, "then")
    assert tags(tx) == sorted(["before", "kept", "then"])
    assert tx.published == ["before", "kept", "then"]


def test_an_attempt_inside_another_is_undone_with_it_or_alone(tx: GroupTx) -> None:
    def outer() -> None:
        put(tx, "outer")
        with pytest.raises(ValueError, match="inner"):
            tx.attempt(lambda: refuse(tx, "inner"))

    def undone() -> None:
        tx.attempt(lambda: put(tx, "deep"))
        raise ValueError("undone")

    tx.attempt(outer)
    with pytest.raises(ValueError, match="undone"):
        tx.attempt(undone)
    assert tags(tx) == tx.published == ["outer"]


def test_a_disk_that_is_full_is_reported_and_nothing_more_is_done(tx: GroupTx) -> None:
    pages = tx.connection.pragma("page_count")
    tx.connection.pragma("max_page_count", pages + 1)

    def fill() -> None:
        for number in range(100):
            put(tx, f"{number:05}" * 1000)

    with pytest.raises(apsw.FullError):
        tx.attempt(fill)
    with pytest.raises(apsw.AbortError, match="must not go on"):
        put(tx, "after")
