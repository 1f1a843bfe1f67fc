"""Opening: whose file it is, how old it is, and what every connection is set to."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from lictor.schema.backends import sqlite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lictor.db"


def test_a_new_file_has_its_identity_and_gives_pages_back(path: Path) -> None:
    connection = sqlite.open_writer(path)
    assert connection.pragma("application_id") == sqlite.APPLICATION_ID
    assert connection.pragma("auto_vacuum") == 2
    assert connection.pragma("user_version") == sqlite.migrations()[-1][0]
    connection.close()


def test_the_writer_is_durable_and_never_checkpoints_by_itself(path: Path) -> None:
    connection = sqlite.open_writer(path)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("wal_autocheckpoint") == 0
    assert connection.pragma("foreign_keys") == 1
    connection.close()


def test_opening_again_changes_nothing(path: Path) -> None:
    sqlite.open_writer(path).close()
    before = path.read_bytes()
    sqlite.open_writer(path).close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE theirs (a)",
        "PRAGMA application_id = 77",
        "PRAGMA user_version = 3",
    ],
)
def test_another_programs_file_is_refused_and_left_as_it_is(path: Path, sql: str) -> None:
    with apsw.Connection(str(path)) as other:
        other.execute(sql)
    other.close()
    before = path.read_bytes()
    with pytest.raises(sqlite.WrongDatabase, match="not a lictor database"):
        sqlite.open_writer(path)
    assert path.read_bytes() == before


def test_a_blank_file_is_made_ours(path: Path) -> None:
    with apsw.Connection(str(path)) as other:
        other.execute("PRAGMA user_version = 1; PRAGMA user_version = 0")
    other.close()
    assert path.stat().st_size > 0
    connection = sqlite.open_writer(path)
    assert connection.pragma("application_id") == sqlite.APPLICATION_ID
    assert connection.pragma("auto_vacuum") == 2
    connection.close()


def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    connection = sqlite.open_writer(path)
    connection.pragma("user_version", 999)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(sqlite.WrongDatabase, match="newer lictor"):
        sqlite.open_writer(path)
    assert path.read_bytes() == before


def test_a_failing_migration_leaves_the_version_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite.open_writer(path)
    newest = sqlite.migrations()[-1][0]
    connection.close()
    later = [
        (newest + 1, "CREATE TABLE one (a INTEGER PRIMARY KEY) STRICT"),
        (newest + 2, "CREATE TABLE two (a); INSERT INTO nowhere VALUES (1)"),
    ]
    monkeypatch.setattr(sqlite, "migrations", lambda: later)
    with pytest.raises(apsw.SQLError, match="nowhere"):
        sqlite.open_writer(path)
    with apsw.Connection(str(path)) as other:
        assert other.pragma("user_version") == newest + 1
        assert other.execute("SELECT name FROM sqlite_schema WHERE name = 'two'").fetchall() == []
    other.close()


def test_a_migration_that_breaks_a_reference_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite.open_writer(path)
    connection.execute("CREATE TABLE parent (a INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE child (a REFERENCES parent (a) ON DELETE CASCADE)")
    connection.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)")
    newest = sqlite.migrations()[-1][0]
    connection.close()
    monkeypatch.setattr(sqlite, "migrations", lambda: [(newest + 1, "DELETE FROM parent")])
    with pytest.raises(apsw.ConstraintError, match="reference to nothing"):
        sqlite.open_writer(path)
    with apsw.Connection(str(path)) as other:
        assert other.execute("SELECT count(*) FROM parent").fetchall() == [(1,)]
        assert other.execute("SELECT count(*) FROM child").fetchall() == [(1,)]
    other.close()


def test_no_migration_puts_a_check_off_until_the_commit() -> None:
    """One job's broken reference would spoil the commit of its whole group."""
    for number, sql in sqlite.migrations():
        assert not re.search(r"\bDEFERRABLE\b|\bDEFER_FOREIGN_KEYS\b", sql.upper()), number


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (apsw.FullError, "disk is full"),
        (apsw.ReadOnlyError, "read-only"),
        (apsw.PermissionsError, "read-only"),
        (apsw.IOError, "disk failed"),
        (apsw.CantOpenError, "disk failed"),
        (apsw.CorruptError, "damaged"),
        (apsw.NotADBError, "damaged"),
        (apsw.BusyError, "Another program"),
        (apsw.InterruptError, "interrupted"),
        (apsw.NoMemError, "not enough memory"),
    ],
)
def test_the_worlds_faults_are_told_as_such(error: type[apsw.Error], reason: str) -> None:
    answer = sqlite.as_unavailable(error("why"))
    assert answer is not None
    assert reason in answer.reason


@pytest.mark.parametrize("error", [apsw.ConstraintError, apsw.SQLError, apsw.LockedError])
def test_lictors_own_faults_are_not_put_on_the_world(error: type[apsw.Error]) -> None:
    assert sqlite.as_unavailable(error("why")) is None
