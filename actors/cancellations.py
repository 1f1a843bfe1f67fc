"""Cancellations: what is left to do when a run is being cancelled, and when it is.

Owns    nothing. Two deadlines: the CANCELLING state's timestamp plus `cancelling_timeout_s`, and
        the next look at a cancelled run's task runs and subflows (table `flow_run_cleanup`).
Serves  nobody; told by every run that becomes CANCELLING or CANCELLED.
Limits  `deadlines.BATCH` runs, or `CHILDREN_MAX` children of one run, in one job of the journal.
Fails   as `actors/deadlines.py` says.

Children are searched by a reader, so that a run of many thousand tasks keeps no write waiting; the
transaction looks at each of them again.

Source: `prefect.server.services.cancellation_cleanup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lictor.actors.deadlines import DeadlineLoop, RunWatch, Settling
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.backends.tx import ReadTx
from lictor.schema.commands import deadlines as command
from lictor.schema.commands.deadlines import CHILDREN_MAX, Children, Clock
from lictor.schema.tables import deadlines as table


def cancelling_timeout(
    journal: Journal, readers: Readers, watch: RunWatch, clock: Clock
) -> DeadlineLoop:
    """The loop that declares runs CANCELLED which do not confirm it."""
    settle = Settling(
        "cancelling timeout", journal, lambda tx, id_: command.end_cancelling(tx, id_, clock)
    )
    lag_s = clock.settings.cancelling_timeout_s
    loop = DeadlineLoop("cancelling_timeout", table.CANCELLING, lag_s, settle, readers, clock.mint)
    watch.on_state(("CANCELLING",), loop.touch)
    return loop


def cancellation_cleanup(
    journal: Journal, readers: Readers, watch: RunWatch, clock: Clock
) -> DeadlineLoop:
    """The loop by which task runs and subflows follow a cancelled run."""

    found: dict[str, Children] = {}
    settle = Settling(
        "cancellation clean-up",
        journal,
        lambda tx, id_: command.cancel_children(tx, id_, found[id_], clock),
    )

    async def work(ids: Sequence[str]) -> int:
        ended = 0
        for id_ in ids:
            found[id_] = await readers.read(partial(_children, id_=id_))
            ended += await settle([id_])
            del found[id_]
        return ended

    loop = DeadlineLoop("cancellation_cleanup", table.CLEANUP, 0.0, work, readers, clock.mint)
    watch.on_state(("CANCELLED",), loop.touch)
    return loop


def _children(tx: ReadTx, id_: str) -> Children:
    return Children(
        table.unfinished_task_runs(tx, id_, CHILDREN_MAX),
        table.unfinished_subflows(tx, id_, CHILDREN_MAX),
    )
