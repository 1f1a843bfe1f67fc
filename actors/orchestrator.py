"""Orchestrator: decides every creation and transition of flow runs and task runs.

Owns    nothing between two commands: runs and states are rows, and each command is decided inside
        the journal's transaction, where it sees every earlier one.
Serves  `command(job)`: a command of `schema/commands/` as a job of the journal.
Limits  `IN_FLIGHT_LIMIT` commands between question and answer; one more is refused with 503.
Fails   as the journal does.

It has no loop of its own: gathering commands here, to gather them in the journal again, costs two
task switches for each request and makes no group larger (docs/decisions/write-path.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lictor.actors.journal import Journal
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable

T = TypeVar("T")

IN_FLIGHT_LIMIT = 1024


class Orchestrator:
    """See the module's head."""

    def __init__(self, journal: Journal, *, in_flight_limit: int = IN_FLIGHT_LIMIT) -> None:
        self._journal = journal
        self._in_flight_limit = in_flight_limit
        self._in_flight = 0

    async def command(self, job: Callable[[Tx], T]) -> T:
        """Decide one command; its answer, once the commit that holds it is on disk.

        Raises:
            Unavailable: too many commands are under way, or the disk refused.
            Refused: the command's own refusal; nothing was stored.
        """
        if self._in_flight >= self._in_flight_limit:
            raise Unavailable(
                f"The orchestrator has {self._in_flight} commands under way; try again shortly."
            )
        self._in_flight += 1
        try:
            return await self._journal.write(job)
        finally:
            self._in_flight -= 1
