"""Late runs: names scheduled runs `Late` that nobody has taken by their time.

Owns    nothing: the deadline is `next_scheduled_start_time` plus `late_runs_after_s`.
Serves  nobody; told by every run that becomes SCHEDULED.
Limits  `deadlines.BATCH` runs in one job of the journal.
Fails   as `actors/deadlines.py` says.

Source: `prefect.server.services.late_runs`.
"""

from __future__ import annotations

from lictor.actors.deadlines import DeadlineLoop, RunWatch, Settling
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.commands import deadlines as command
from lictor.schema.commands.deadlines import Clock
from lictor.schema.tables import deadlines as table


def late_runs(journal: Journal, readers: Readers, watch: RunWatch, clock: Clock) -> DeadlineLoop:
    """The loop that marks late runs."""
    settle = Settling("late runs", journal, lambda tx, id_: command.mark_late(tx, id_, clock))
    lag_s = clock.settings.late_runs_after_s
    loop = DeadlineLoop("late_runs", table.LATE, lag_s, settle, readers, clock.mint)
    watch.on_state(("SCHEDULED",), loop.touch)
    return loop
