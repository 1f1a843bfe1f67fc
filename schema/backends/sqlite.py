"""The SQLite backend: opening, pragmas, migrations, and `Tx` on an apsw connection.

One connection writes, the others only read. `synchronous=FULL` makes a commit durable before it
returns; checkpoints never ride on a commit (`wal_autocheckpoint=0`), another connection makes them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import apsw

from lictor.schema.backends.tx import Value
from lictor.schema.errors import Unavailable

T = TypeVar("T")

MIGRATIONS = Path(__file__).parents[1] / "migrations"

APPLICATION_ID = 0x4C494354
"""`LICT`: lets `file` and lictor itself recognise the database."""

STATEMENT_CACHE = 500
PAGE_CACHE_KIB = 16 * 1024
CHECKPOINT_CACHE_KIB = 256
STALL_FACTOR = 5
"""How much longer than its own work a brief read may take by the clock."""
PROGRESS_STEPS = 2_000
"""Virtual machine steps between two looks at the deadline of a read."""
BUSY_MS = 5_000
"""How long a statement waits for another program's lock, a backup's say, before it gives up."""
WAL_BYTES_KEPT = 32 * 1024 * 1024
"""What is left of a log that a burst has made longer, once it begins anew."""

CheckpointMode = Literal["passive", "restart", "truncate"]
_CHECKPOINT_MODES = {
    "passive": apsw.SQLITE_CHECKPOINT_PASSIVE,
    "restart": apsw.SQLITE_CHECKPOINT_RESTART,
    "truncate": apsw.SQLITE_CHECKPOINT_TRUNCATE,
}


class WrongDatabase(Exception):
    """The file is not one this program may open; the text says why and what to do."""


class QueryTooSlow(Exception):
    """A read passed its deadline and was interrupted."""


class SqliteTx:
    """`Tx` on one connection. Everything runs inside whatever transaction the owner has begun."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._execute: Callable[..., apsw.Cursor] = connection.execute
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

    def attempt(self, job: Callable[[], T]) -> T:
        kept = len(self.published)
        self.run("SAVEPOINT attempt")
        try:
            value = job()
        except Exception:
            # When the transaction itself is lost, there is nothing left to undo.
            if not self.is_lost():
                del self.published[kept:]
                self.run("ROLLBACK TO attempt")
                self.run("RELEASE attempt")
            raise
        self.run("RELEASE attempt")
        return value

    def is_lost(self) -> bool:
        """Whether SQLite has undone the transaction by itself."""
        return self.connection.getautocommit()

    def publish(self, item: object) -> None:
        self.published.append(item)


class GroupTx(SqliteTx):
    """The journal's `Tx`, begun and ended again and again; it knows when its transaction is lost.

    SQLite undoes a whole transaction by itself when the disk is full or fails. A job that went on
    from there would commit each further statement on its own; so after such a `failure` every
    statement is refused until the next `begin`, whatever the job does with the exception.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__(connection)
        self.failure: apsw.Error | None = None

    def begin(self) -> None:
        """Take the write lock, with nothing published.

        Raises:
            apsw.Error: the lock cannot be had, or the disk fails.
        """
        self.failure = None
        self.published = []
        self._execute = self.connection.execute
        self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Put everything on disk; on an error nothing is acknowledged: `rollback` and report it."""
        self._execute("COMMIT")

    def rollback(self) -> None:
        """Forget everything since `begin`; harmless when SQLite has done so already."""
        if not self.connection.getautocommit():
            self.connection.execute("ROLLBACK")
        self.published = []

    def one(self, sql: str, args: Sequence[Value] = ()) -> tuple | None:  # type: ignore[type-arg]
        try:
            row: tuple | None = self._execute(sql, args).fetchone()  # type: ignore[type-arg]
        except apsw.Error as error:
            self._note(error)
            raise
        return row

    def all(self, sql: str, args: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._execute(sql, args).fetchall()
        except apsw.Error as error:
            self._note(error)
            raise

    def run(self, sql: str, args: Sequence[Value] = ()) -> int:
        try:
            self._execute(sql, args)
        except apsw.Error as error:
            self._note(error)
            raise
        return self.connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        if self.failure is not None:
            self._refuse()
        try:
            self.connection.executemany(sql, rows)
        except apsw.Error as error:
            self._note(error)
            raise

    def is_lost(self) -> bool:
        return self.failure is not None

    def _note(self, error: apsw.Error) -> None:
        """A statement failed: is the transaction gone with it, or the disk not to be trusted?"""
        lost = self.connection.getautocommit() or as_unavailable(error) is not None
        if lost and self.failure is None:
            self.failure = error
            self._execute = self._refuse

    def _refuse(self, *_statement: object) -> apsw.Cursor:
        raise apsw.AbortError("The transaction was lost; its job must not go on.")


def open_writer(
    path: Path, *, synchronous: str = "FULL", vfs: str | None = None
) -> apsw.Connection:
    """Open or make the database at `path` and bring it to the newest schema.

    Raises:
        WrongDatabase: another program's file, or one from a newer lictor.
        apsw.Error: the file cannot be opened, read or written.
    """
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=STATEMENT_CACHE)
    try:
        connection.set_busy_timeout(BUSY_MS)
        _keep_plans(connection)
        _prepare(connection, path)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", synchronous)
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("journal_size_limit", WAL_BYTES_KEPT)
        connection.pragma("temp_store", "MEMORY")
        connection.pragma("cache_size", -PAGE_CACHE_KIB)
        migrate(connection)
        connection.pragma("foreign_keys", True)
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
    connection.set_busy_timeout(BUSY_MS)
    _keep_plans(connection)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -PAGE_CACHE_KIB // 2)
    return connection


def _keep_plans(connection: apsw.Connection) -> None:
    """Plan each statement once, whatever is bound to it later.

    Otherwise SQLite looks at bound values while planning (STAT4), and so plans a join anew at every
    execution: 45 us instead of 5 for reading one flow run with its state.
    Source: sqlite.org/c3ref/c_dbconfig_defensive.html, SQLITE_DBCONFIG_ENABLE_QPSG.
    """
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def open_checkpointer(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """A connection that only moves the log into the file (`checkpoint`), and waits for nobody."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.pragma("synchronous", "FULL")
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("cache_size", -CHECKPOINT_CACHE_KIB)
    return connection


def checkpoint(
    connection: apsw.Connection, mode: CheckpointMode, wait_ms: int = 0
) -> tuple[int, int]:
    """Move pages from the log into the file; (pages in the log, pages of them moved).

    "passive" waits for nobody. "restart" also waits, at most `wait_ms`, for readers of the log to
    end, so that the next writer begins it anew; "truncate" shortens it to nothing as well. Both
    hold the write lock meanwhile. Who stands in the way for longer is left alone: the two numbers
    tell.

    Raises:
        apsw.Error: the disk fails; the log keeps everything.
    """
    connection.set_busy_timeout(wait_ms)
    try:
        return connection.wal_checkpoint(mode=_CHECKPOINT_MODES[mode])
    except apsw.BusyError:
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    finally:
        connection.set_busy_timeout(BUSY_MS)


def _prepare(connection: apsw.Connection, path: Path) -> None:
    """Refuse a strange file; give a new one its identity before its first table.

    A loss of power may have left a file with a page and nothing on it: that is new as well.
    """
    application_id = connection.pragma("application_id")
    if application_id == 0 and _is_blank(connection):
        connection.pragma("auto_vacuum", 2)
        if connection.pragma("auto_vacuum") != 2:
            connection.execute("VACUUM")  # (another program's page was there before)
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


def _is_blank(connection: apsw.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return connection.pragma("user_version") == 0 and tables == [(0,)]


def migrations() -> list[tuple[int, str]]:
    """Every migration as (number, SQL), in order."""
    found = []
    for file in MIGRATIONS.iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: apsw.Connection) -> None:
    """Apply what is missing, each migration in a transaction of its own.

    Foreign keys must be off, so that a migration may build a table anew; what it leaves is checked.

    Raises:
        apsw.ConstraintError: a migration broke a reference; that migration is undone.
    """
    version = connection.pragma("user_version")
    for number, sql in migrations():
        if number <= version:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(sql).fetchall()
            if version and connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise apsw.ConstraintError(f"Migration {number} leaves a reference to nothing.")
            connection.pragma("user_version", number)
            connection.execute("COMMIT")
        except BaseException:
            if not connection.getautocommit():
                connection.execute("ROLLBACK")
            raise


def read(
    connection: apsw.Connection,
    query: Callable[[SqliteTx], T],
    limit_s: float,
    is_abandoned: Callable[[], bool] = bool,
) -> T:
    """Run `query` in one read transaction, for at most `limit_s` seconds.

    `is_abandoned` is asked now and then, on this thread; True ends the query too.

    Raises:
        QueryTooSlow: the time was over, or nobody waits; nothing is left open.
    """
    deadline = time.monotonic() + limit_s
    return _read(connection, query, lambda: time.monotonic() > deadline or is_abandoned())


def read_briefly(connection: apsw.Connection, query: Callable[[SqliteTx], T], limit_s: float) -> T:
    """Run `query` for at most `limit_s` seconds of this thread's own work.

    The time that other threads and programs take from this one does not count, up to
    `STALL_FACTOR` times the limit: a machine that is busy must not make every read a slow one.

    Raises:
        QueryTooSlow: the time was over; nothing is left open.
    """
    work_ends = time.thread_time() + limit_s
    deadline = time.monotonic() + STALL_FACTOR * limit_s
    return _read(
        connection,
        query,
        lambda: time.thread_time() > work_ends or time.monotonic() > deadline,
    )


def _read(
    connection: apsw.Connection, query: Callable[[SqliteTx], T], is_over: Callable[[], bool]
) -> T:
    connection.set_progress_handler(is_over, PROGRESS_STEPS)
    try:
        connection.execute("BEGIN")
        return query(SqliteTx(connection))
    except apsw.InterruptError as error:
        raise QueryTooSlow from error
    finally:
        connection.set_progress_handler(None)
        if not connection.getautocommit():
            connection.execute("ROLLBACK")


def as_unavailable(error: apsw.Error) -> Unavailable | None:
    """What a caller is told when the file system fails; None when the error is lictor's own."""
    if isinstance(error, apsw.FullError):
        return Unavailable("The disk is full; nothing was stored. Free some space.", 5)
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError)):
        return Unavailable("The database is read-only; nothing was stored.", 5)
    if isinstance(error, (apsw.IOError, apsw.CantOpenError)):
        return Unavailable(f"The disk failed ({error}); take it as not stored, try again.", 5)
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return Unavailable(f"The database is damaged ({error}); restore a backup.", 60)
    if isinstance(error, apsw.BusyError):
        return Unavailable("Another program holds the database; nothing was stored.", 1)
    if isinstance(error, apsw.InterruptError):
        return Unavailable("The work was interrupted; nothing was stored.", 1)
    if isinstance(error, apsw.NoMemError):
        return Unavailable("There is not enough memory; nothing was stored.", 5)
    return None
