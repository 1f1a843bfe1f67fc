"""A database with one table of notes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from lictor.schema.backends import sqlite


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
