"""The journal: the only writer. Takes write jobs in groups, one commit for each group.

Owns    the write connection, and the executor its groups run on.
Serves  `write(job)`: the job's result, after the commit that holds it is on disk.
Limits  `MAILBOX_LIMIT` waiting jobs (then 503), `GROUP_LIMIT` jobs in one transaction.
Fails   a job's own exception goes to its caller and undoes that job alone; a failing disk refuses
        the whole group with 503 and is tried afresh with the next one.

Theory: while one group is being written, the loop goes on decoding requests and the next group
gathers in the mailbox. So a group grows with the load, an fsync is shared by all of it, and when
idle a job waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import apsw
import trio

from lictor.actors.executor import Executor
from lictor.actors.mailbox import Mailbox
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import Tx

T = TypeVar("T")
Job = Callable[[Tx], T]
Subscriber = Callable[[list[object]], None]
"""Told after each commit, on the loop, of what its jobs published, in commit order. Must not block."""

MAILBOX_LIMIT = 2048
GROUP_LIMIT = 128


class _Pending:
    """A job, and the slot its answer is left in."""

    __slots__ = ("done", "error", "job", "value")

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self.done = trio.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class Journal:
    """See the module's head."""

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
        self._tx = sqlite.SqliteTx(connection)
        self._subscribers: list[Subscriber] = []
        self.mailbox: Mailbox[_Pending] = Mailbox("journal", mailbox_limit)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Be told of everything published, from the next commit on."""
        self._subscribers.append(subscriber)

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a write transaction; its result once the commit is on disk.

        Raises:
            Unavailable: too many jobs wait, or the disk refused; nothing was stored.
            Exception: whatever the job raised; nothing of it was stored.
        """
        pending = _Pending(job)
        self.mailbox.put(pending)
        await pending.done.wait()
        if pending.error is not None:
            raise pending.error
        value: T = pending.value
        return value

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close` was called and the mailbox is empty."""
        task_status.started()
        while True:
            try:
                group = await self.mailbox.take(self._group_limit)
            except trio.EndOfChannel:
                return
            with trio.CancelScope(shield=True):
                published = await self._executor.run(lambda: self._commit(group))  # noqa: B023
            if published:
                for subscriber in self._subscribers:
                    subscriber(published)
            for pending in group:
                pending.done.set()

    def close(self) -> None:
        """Refuse new jobs; `run` returns when the waiting ones are written."""
        self.mailbox.close()

    # What follows runs on the executor.

    def _commit(self, group: list[_Pending]) -> list[object]:
        """One transaction for the group; every pending job has an answer afterwards."""
        tx = self._tx
        execute = self._connection.execute
        tx.published = []
        try:
            execute("BEGIN IMMEDIATE")
            for pending in group:
                self._run_one(pending)
            execute("COMMIT")
        except apsw.Error as error:
            self._refuse_all(group, error)
            return []
        return tx.published

    def _run_one(self, pending: _Pending) -> None:
        tx, execute = self._tx, self._connection.execute
        kept = len(tx.published)
        execute("SAVEPOINT job")
        try:
            pending.value = pending.job(tx)
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CorruptError):
            raise
        except Exception as error:
            pending.error = error
            del tx.published[kept:]
            execute("ROLLBACK TO job")
        execute("RELEASE job")

    def _refuse_all(self, group: list[_Pending], error: apsw.Error) -> None:
        if not self._connection.getautocommit():
            self._connection.execute("ROLLBACK")
        answer: BaseException = sqlite.as_unavailable(error) or error
        for pending in group:
            pending.value = None
            pending.error = answer


