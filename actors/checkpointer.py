"""The checkpointer: moves SQLite's log into the file, off the commit path.

Owns    a connection for checkpoints, and the executor it lives on.
Serves  nobody: the journal tells it the length of the log after each group.
Limits  `PASSIVE_PAGES`, `RESET_PAGES`, `RESET_WAIT_MS`.
Fails   a failing disk is met again at the next growth of the log, which loses nothing meanwhile; a
        bug ends `run` and with it the process.

Theory: a commit only appends to the log. A passive checkpoint copies the log into the file beside
the writer and stops nobody, but only a log copied to its very end can begin anew, and a busy writer
is always a few pages ahead. So when passive checkpoints alone have let the log grow to
`RESET_PAGES`, the last few pages are copied between two groups of the journal. Readers still inside
the log keep it from beginning anew; they are waited for briefly, and asked again later.

While Litestream replicates, it alone may check-point (it holds a read lock against others and
ships the log): set `is_suspended`.
"""

from __future__ import annotations

import logging
from functools import partial

import apsw
import trio

from lictor.actors.executor import Executor
from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import CheckpointMode

log = logging.getLogger(__name__)

PASSIVE_PAGES = 1_000
"""4 MiB: SQLite's own default. Fewer means more fsyncs of the file, more a longer recovery."""
RESET_PAGES = 4_000
"""16 MiB: from here the journal is asked to stand still for the last few pages (some ms)."""
RESET_WAIT_MS = 20
"""How long the journal waits, standing still, for readers to leave the log."""
FINAL_WAIT_MS = 1_000
"""How long the last checkpoint of all waits for readers; nobody writes any more."""


class Checkpointer:
    """See the module's head."""

    def __init__(
        self,
        connection: apsw.Connection,
        executor: Executor,
        journal: Journal,
        *,
        passive_pages: int = PASSIVE_PAGES,
        reset_pages: int = RESET_PAGES,
    ) -> None:
        self._connection = connection
        self._executor = executor
        self._journal = journal
        self._passive_pages = passive_pages
        self._reset_pages = reset_pages
        self._due_at_pages = passive_pages
        self._is_due = trio.Event()
        self.is_suspended = False
        journal.watch_wal(self._note)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        while True:
            await self._is_due.wait()
            self._is_due = trio.Event()
            await self.run_once()

    async def run_once(self) -> None:
        """Shorten the log as far as it goes without stopping anybody for long."""
        try:
            pages, moved = await self._checkpoint("passive")
            observe("lictor.checkpointer.log.move", pages=pages, moved=moved)
            if pages >= self._reset_pages:
                pages, moved = await self._journal.between_groups(
                    partial(sqlite.checkpoint, mode="restart", wait_ms=RESET_WAIT_MS)
                )
                observe("lictor.checkpointer.log.reset", pages=pages, moved=moved)
        except apsw.Error as error:
            if sqlite.as_unavailable(error) is None:
                raise
            log.warning("The log could not be moved into the database: %s", error)
            pages = self._journal.wal_pages
        self._due_at_pages = pages + self._passive_pages

    async def finish(self) -> None:
        """Leave an empty log, when the journal has ended and the readers are done."""
        if not self.is_suspended:
            await self._checkpoint("truncate", FINAL_WAIT_MS)

    async def _checkpoint(self, mode: CheckpointMode, wait_ms: int = 0) -> tuple[int, int]:
        return await self._executor.run(partial(sqlite.checkpoint, self._connection, mode, wait_ms))

    def _note(self, pages: int) -> None:
        """The log has `pages` pages. Fewer than at the last look: it has begun anew."""
        if pages < self._passive_pages:
            self._due_at_pages = self._passive_pages
        elif pages >= self._due_at_pages and not self.is_suspended:
            self._is_due.set()
