"""The SQLite backend: opening, pragmas, migrations, and `Tx` on an apsw connection.

One connection writes, the others only read. `synchronous=FULL` makes a commit durable before it
returns; checkpoints never ride on a commit (`wal_autocheckpoint=0`), another connection makes them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TypeVar

import apsw

from lictor.schema.backends.tx import Value
from lictor.schema.errors import Unavailable

T = TypeVar("T")

APPLICATION_ID = 0x4C494354
"""`LICT`: lets `file` and lictor itself recognise the database."""

STATEMENT_CACHE = 500
PAGE_CACHE_KIB = 16 * 1024
PROGRESS_STEPS = 2_000
"""Virtual machine steps between two looks at the deadline of a read."""


class WrongDatabase(Exception):
    """The file is not one this program may open; the text says why and what to do."""


class QueryTooSlow(Exception):
    """A read passed its deadline and was interrupted."""


class SqliteTx:
    """`Tx` on one connection. Everything runs inside whatever transaction the owner has begun."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute
        self.published: list[object] = []

    def one(self, sql: str, args: Sequence[Value] = ()) -> tuple | None:  # type: ignore[type-arg]
        row: tuple | None = self._execute(sql, args).fetchone()  # type: ignore[type-arg]
        return row

    def all(self, sql: str, args: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        return self._execute(sql, args).fetchall()

    def run(self, sql: str, args: Sequence[Value] = ()) -> int:
        self._execute(sql, args)
        return self.connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        self.connection.executemany(sql, rows)

    def publish(self, item: object) -> None:
        self.published.append(item)


def open_writer(path: Path, *, synchronous: str = "FULL", vfs: str | None = None) -> apsw.Connection:
    """Open or make the database at `path` and bring it to the newest schema.

    Raises:
        WrongDatabase: another program's file, or one from a newer lictor.
        apsw.Error: the file cannot be opened, read or written.
    """
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=STATEMENT_CACHE)
    try:
        _prepare(connection, path)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", synchronous)
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("foreign_keys", True)
        connection.pragma("cache_size", -PAGE_CACHE_KIB)
        connection.set_busy_timeout(5_000)
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """A connection that can only read."""
    connection = apsw.Connection(
        str(path),
        flags=apsw.SQLITE_OPEN_READWRITE,
        vfs=vfs,
        statementcachesize=STATEMENT_CACHE,
    )
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -PAGE_CACHE_KIB // 2)
    connection.set_busy_timeout(5_000)
    return connection


def _prepare(connection: apsw.Connection, path: Path) -> None:
    """Refuse a strange file; give a new one its identity before its first table."""
    application_id = connection.pragma("application_id")
    is_empty = connection.pragma("page_count") == 0
    if is_empty:
        connection.pragma("auto_vacuum", 2)
        connection.pragma("application_id", APPLICATION_ID)
    elif application_id != APPLICATION_ID:
        raise WrongDatabase(
            f"{path} is not a lictor database (application id {application_id:#x}). "
            "Move it away or choose another home with --home."
        )
    newest = max(number for number, _ in migrations())
    version = connection.pragma("user_version")
    if version > newest:
        raise WrongDatabase(
            f"{path} was written by a newer lictor (schema {version}, this one knows {newest}). "
            "Install that version or newer; this program changed nothing."
        )


def migrations() -> list[tuple[int, str]]:
    """Every migration as (number, SQL), in order."""
    found = []
    for file in resources.files("lictor.schema.migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: apsw.Connection) -> None:
    """Apply what is missing, each migration in a transaction of its own."""
    version = connection.pragma("user_version")
    for number, sql in migrations():
        if number <= version:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(sql)
            connection.pragma("user_version", number)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def read(connection: apsw.Connection, query: Callable[[SqliteTx], T], limit_s: float) -> T:
    """Run `query` in one read transaction, for at most `limit_s` seconds.

    Raises:
        QueryTooSlow: the time was over; nothing is left open.
    """
    deadline = time.monotonic() + limit_s
    connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
    connection.execute("BEGIN")
    try:
        return query(SqliteTx(connection))
    except apsw.InterruptError as error:
        raise QueryTooSlow from error
    finally:
        if not connection.getautocommit():
            connection.execute("ROLLBACK")


def as_unavailable(error: apsw.Error) -> Unavailable | None:
    """What a caller is told when the file system fails; None when the error is lictor's own."""
    if isinstance(error, apsw.FullError):
        return Unavailable("The disk is full; nothing was stored. Free some space.", 5)
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError)):
        return Unavailable("The database is read-only; nothing was stored.", 5)
    if isinstance(error, (apsw.IOError, apsw.CantOpenError)):
        return Unavailable(f"The disk failed ({error}); nothing was stored.", 5)
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Unavailable("Another program holds the database; nothing was stored.", 1)
    return None
