"""Unstarted runs: declares runs CRASHED that were submitted and have not started.

Owns    nothing: the deadline is the PENDING state's timestamp plus `pending_timeout_s`.
Serves  nobody; told by every run that becomes PENDING.
Limits  `deadlines.BATCH` runs in one job of the journal.
Fails   as `actors/deadlines.py` says.

The Prefect server has nothing like it: there such a run is PENDING for ever. A run that starts
after all is let through: CRASHED may become RUNNING.
"""

from __future__ import annotations

from lictor.actors.deadlines import DeadlineLoop, RunWatch, Settling
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.commands import deadlines as command
from lictor.schema.commands.deadlines import Clock
from lictor.schema.tables import deadlines as table


def unstarted_runs(
    journal: Journal, readers: Readers, watch: RunWatch, clock: Clock
) -> DeadlineLoop:
    """The loop that gives up runs which never start."""
    settle = Settling(
        "unstarted runs", journal, lambda tx, id_: command.end_pending(tx, id_, clock)
    )
    lag_s = clock.settings.pending_timeout_s
    loop = DeadlineLoop("unstarted_runs", table.PENDING, lag_s, settle, readers, clock.mint)
    watch.on_state(("PENDING",), loop.touch)
    return loop
