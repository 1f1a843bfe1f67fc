"""The journal: the only writer. Takes write jobs in groups, one commit for each group.

Owns    the write connection, and the executor its groups run on.
Serves  `write(job)`: the job's result, after the commit that holds it is on disk.
        `between_groups(work)`: something for the connection alone, such as a checkpoint.
Limits  `MAILBOX_LIMIT` waiting jobs (then 503), `GROUP_LIMIT` jobs in one transaction.
Fails   a job's own exception goes to its caller and undoes that job alone; a failing disk refuses
        the whole group with 503 and is tried afresh with the next one. A bug in here or in a
        subscriber ends `run`, and whoever waits is refused.

Theory: while one group is being written, the loop goes on decoding requests and the next group
gathers in the mailbox. So a group grows with the load, an fsync is shared by all of it, and when
idle a job waits for nobody.

A caller that is cancelled takes its job back if that has not begun; otherwise the job stays done,
wholly. Whoever reads the answer knows; whoever does not must ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import apsw
import trio

from lictor.actors.executor import Executor
from lictor.actors.mailbox import Mailbox
from lictor.actors.observe import observe
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable

T = TypeVar("T")
Job = Callable[[Tx], T]
Work = Callable[[apsw.Connection], T]
Subscriber = Callable[[list[object]], None]
"""Told after each commit, on the loop, what its jobs published, in commit order. Never blocks."""

MAILBOX_LIMIT = 2048
GROUP_LIMIT = 128


class GroupFailed(Exception):
    """A bug in one job spoiled the commit of its whole group; nothing of the group was stored."""


class _Pending:
    """A job, and the slot its answer is left in."""

    __slots__ = ("done", "error", "job", "value")

    def __init__(self, job: Callable[[Any], Any]) -> None:
        self.job = job
        self.done = trio.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    async def answer(self) -> Any:
        """Wait for the job's end; its value or its exception."""
        try:
            await self.done.wait()
        except trio.Cancelled:
            self.job = _nothing
            raise
        error = self.error
        if error is None:
            return self.value
        try:
            raise error
        finally:
            # The exception's traceback leads back here: do not leave a cycle behind.
            self.error = None
            del error

    def refuse(self, error: BaseException) -> None:
        """Answer with `error`, unless it was answered."""
        if not self.done.is_set():
            self.value = None
            self.error = error
            self.done.set()


class Journal:
    """See the module's head. `wal_pages`: the length of SQLite's log after the last commit."""

    def __init__(
        self,
        connection: apsw.Connection,
        executor: Executor,
        *,
        mailbox_limit: int = MAILBOX_LIMIT,
        group_limit: int = GROUP_LIMIT,
    ) -> None:
        self._connection = connection
        self._executor = executor
        self._group_limit = group_limit
        self._tx = sqlite.GroupTx(connection)
        self._subscribers: list[Subscriber] = []
        self._wal_watchers: list[Callable[[int], None]] = []
        self._works: list[_Pending] = []
        self._has_ended = False
        self.wal_pages = 0
        self.mailbox: Mailbox[_Pending] = Mailbox("journal", mailbox_limit)
        connection.set_wal_hook(self._on_wal)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Be told of everything published, from the next commit on."""
        self._subscribers.append(subscriber)

    def watch_wal(self, watcher: Callable[[int], None]) -> None:
        """Be told, on the loop, after each group, how many pages SQLite's log has."""
        self._wal_watchers.append(watcher)

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a write transaction; its result once the commit is on disk.

        Raises:
            Unavailable: too many jobs wait, or the disk refused; nothing was stored.
            GroupFailed: another job's bug; nothing was stored.
            Exception: whatever the job raised; nothing of it was stored.
        """
        pending = _Pending(job)
        self.mailbox.put(pending)
        value: T = await pending.answer()
        return value

    async def between_groups(self, work: Work[T]) -> T:
        """Run `work` on the write connection when no transaction is open. Jobs wait meanwhile.

        Raises:
            Unavailable: the journal has ended.
            Exception: whatever `work` raised.
        """
        if self._has_ended:
            raise _stopping()
        pending = _Pending(work)
        if not len(self.mailbox):
            self.mailbox.put(_Pending(_nothing))
        self._works.append(pending)
        value: T = await pending.answer()
        return value

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close` was called and the mailbox is empty."""
        group: list[_Pending] = []
        task_status.started()
        try:
            while True:
                try:
                    group = await self.mailbox.take(self._group_limit)
                except trio.EndOfChannel:
                    return
                with trio.CancelScope(shield=True):
                    await self._write_group(group)
                    while self._works:
                        await self._do(self._works[0])
                        del self._works[0]
        finally:
            self._has_ended = True
            for pending in (*group, *self._works, *self.mailbox.abandon()):
                pending.refuse(_stopping())

    def close(self) -> None:
        """Refuse new jobs; `run` returns when the waiting ones are written."""
        self.mailbox.close()

    async def _write_group(self, group: list[_Pending]) -> None:
        published = await self._executor.run(partial(self._commit, group))
        try:
            if published:
                for subscriber in self._subscribers:
                    subscriber(published)
            for watcher in self._wal_watchers:
                watcher(self.wal_pages)
        finally:
            # What is on disk is answered as such, even when a subscriber's bug ends the process.
            for pending in group:
                pending.done.set()

    async def _do(self, pending: _Pending) -> None:
        try:
            pending.value = await self._executor.run(partial(pending.job, self._connection))
        except Exception as error:
            pending.error = error
        pending.done.set()

    # What follows runs on the executor.

    def _commit(self, group: list[_Pending]) -> list[object]:
        """One transaction for the group; every pending job has its answer afterwards."""
        tx = self._tx
        try:
            tx.begin()
            for pending in group:
                self._run_one(pending)
            tx.commit()
        except apsw.Error as error:
            tx.rollback()
            observe("lictor.journal.group.refuse", jobs=len(group), error=str(error))
            for pending in group:
                pending.value = None
                pending.error = _refusal(error)
        except BaseException:
            tx.rollback()
            raise
        return tx.published

    def _run_one(self, pending: _Pending) -> None:
        """One job among others; undone alone, by its savepoint, when it fails."""
        tx, execute = self._tx, self._connection.execute
        kept = len(tx.published)
        execute("SAVEPOINT job")
        try:
            pending.value = pending.job(tx)
        except Exception as error:
            pending.error = error
            if tx.failure is None:
                del tx.published[kept:]
                execute("ROLLBACK TO job")
        if tx.failure is not None:
            raise tx.failure
        execute("RELEASE job")

    def _on_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK


def _refusal(error: apsw.Error) -> Exception:
    """An answer for one caller (each needs an exception of its own: raising one changes it)."""
    unavailable = sqlite.as_unavailable(error)
    if unavailable is not None:
        return unavailable
    refusal = GroupFailed(f"The commit failed: {error}")
    refusal.__cause__ = error
    return refusal


def _stopping() -> Unavailable:
    return Unavailable("The server is stopping.")


def _nothing(_tx: object) -> None:
    """The job of a caller who has gone."""
