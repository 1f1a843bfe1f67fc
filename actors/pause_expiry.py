"""Pause expiry: fails paused runs that nobody has resumed before their pause's deadline.

Owns    nothing: the deadline is the `pause_timeout` of the PAUSED state.
Serves  nobody; told by every run that becomes PAUSED.
Limits  `deadlines.BATCH` runs in one job of the journal.
Fails   as `actors/deadlines.py` says.

Source: `prefect.server.services.pause_expirations`.
"""

from __future__ import annotations

from lictor.actors.deadlines import DeadlineLoop, RunWatch, Settling
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.commands import deadlines as command
from lictor.schema.commands.deadlines import Clock
from lictor.schema.tables import deadlines as table


def pause_expiry(journal: Journal, readers: Readers, watch: RunWatch, clock: Clock) -> DeadlineLoop:
    """The loop that fails runs whose pause has expired."""
    settle = Settling("pause expiry", journal, lambda tx, id_: command.expire_pause(tx, id_, clock))
    loop = DeadlineLoop("pause_expiry", table.PAUSED, 0.0, settle, readers, clock.mint)
    watch.on_state(("PAUSED",), loop.touch)
    return loop
