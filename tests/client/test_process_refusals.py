"""What cannot start says so in one line that tells what to do, and changes nothing on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from lictor_process import Lictor, Start


def refused(lictor: Lictor, code: int) -> str:
    """The one line of a start that ended with `code`."""
    ended, out, err = lictor.ended()
    assert (ended, out) == (code, ""), err
    (line,) = err.splitlines()
    assert line.startswith("lictor: ")
    return line


def test_a_taken_port(start: Start, tmp_path: Path) -> None:
    first = start().until_ready()
    port = first.url.split(":")[2].partition("/")[0]
    line = refused(start("--port", port, "--home", str(tmp_path / "second")), 69)
    assert f"port {port}" in line
    assert "--port" in line
    assert not (tmp_path / "second").exists()
    assert first.ask("/health")[0] == 200


def test_a_home_in_use(start: Start) -> None:
    first = start().until_ready()
    line = refused(start(), 75)
    assert f"process {first.process.pid}" in line
    assert "--home" in line
    assert first.ask("/health")[0] == 200


def test_a_home_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    line = refused(start("--home", str(tmp_path / "file" / "home")), 73)
    assert "--home" in line


def test_a_home_of_prefect(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "prefect.db").write_bytes(b"SQLite format 3\0")
    line = refused(start(), 78)
    assert "Prefect server" in line
    assert [file.name for file in home.iterdir()] == ["prefect.db"]


def database(home: Path, *statements: str) -> bytes:
    """Make `lictor.db` by `statements`; its bytes."""
    home.mkdir()
    with closing(sqlite3.connect(home / "lictor.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return (home / "lictor.db").read_bytes()


def test_a_database_from_a_newer_lictor(start: Start, tmp_path: Path) -> None:
    before = database(
        tmp_path / "home",
        f"PRAGMA application_id = {0x4C494354}",
        "PRAGMA user_version = 9999",
        "CREATE TABLE flow (id TEXT)",
    )
    assert "newer lictor" in refused(start(), 65)
    assert (tmp_path / "home" / "lictor.db").read_bytes() == before


def test_a_database_of_another_program(start: Start, tmp_path: Path) -> None:
    before = database(tmp_path / "home", "CREATE TABLE flow (id TEXT)")
    assert "not a lictor database" in refused(start(), 65)
    assert (tmp_path / "home" / "lictor.db").read_bytes() == before


def test_a_file_that_is_no_database(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "lictor.db"
    file.write_bytes(b"something else\n" * 1000)
    assert "not a readable database" in refused(start(), 65)
    assert file.read_bytes() == b"something else\n" * 1000


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LICTOR_PROT": "1"}, "did you mean LICTOR_PORT?"),
        ({"LICTOR_DRAIN_S": "soon"}, "HH:MM:SS"),
        ({"LICTOR_API_DEFAULT_LIMIT": "0"}, "at least 1"),
        ({"PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///x"}, "Unset"),
        ({"LICTOR_CONFIG": "/nonexistent/lictor.toml"}, "cannot be read"),
        ({"LICTOR_TLS_CERTIFICATE": "/nonexistent/cert.pem"}, "cert.pem"),
    ],
)
def test_a_wrong_setting(
    start: Start, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    assert said in refused(start(**environment), 78)
    assert list(tmp_path.iterdir()) == []
