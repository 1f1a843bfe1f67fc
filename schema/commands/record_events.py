"""Storing events: the rows of the events, and of the task runs that some of them report."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lictor.schema.backends.tx import Tx
from lictor.schema.commands import task_run_changes
from lictor.schema.events.event import Event, StoredEvent
from lictor.schema.mint import Mint
from lictor.schema.tables import events as table
from lictor.schema.tables import task_run_recorder

_logger = logging.getLogger(__name__)


def store(tx: Tx, events: Sequence[Event], mint: Mint) -> list[StoredEvent]:
    """Store and publish those of `events` that are new, and record the task runs they report.

    An event that cannot be recorded is stored all the same.
    """
    stored = table.insert(tx, events)
    changes = []
    for item in stored:
        if task_run_changes.is_change(item.event):
            try:
                changes.append(task_run_changes.from_event(item.event))
            except task_run_changes.Unusable as fault:
                _logger.warning("This event reports no task run that can be recorded: %s", fault)
    left_out = task_run_recorder.record(tx, changes, mint)
    if left_out:
        _logger.debug("%d task-run events are about flow runs that do not exist", left_out)
    return stored
