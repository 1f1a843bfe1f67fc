"""Runs missed while the server was not running: which are skipped, and what becomes of them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import flow_runs, proposals
from lictor.schema.commands.deadlines import Clock
from lictor.schema.errors import Missing
from lictor.schema.rules import policies
from lictor.schema.rules.catch_up import LABEL, MissedRun, policy, skipped
from lictor.schema.times import Timestamp
from lictor.schema.wire.states import StateBody

MISSED_MAX = 10_000
"""Missed runs of one deployment that are looked at, the latest first."""


class Missed(NamedTuple):
    """The time that passed unseen: later than `after`, and earlier than `before`."""

    after: Timestamp
    before: Timestamp


def unwanted(tx: ReadTx, missed: Missed) -> list[str]:
    """Ids of waiting runs that were due in that time, and that their deployments do not want."""
    found: list[str] = []
    deployments = tx.all("SELECT id, labels FROM deployment WHERE instr(labels, ?)", (LABEL,))
    for deployment_id, labels in deployments:
        wanted = policy(msgspec.json.decode(labels).get(LABEL))
        rows = tx.all(
            "SELECT id, json_extract(created_by, '$.id'), next_scheduled_start_time FROM flow_run"
            " WHERE deployment_id = ? AND state_type = 'SCHEDULED'"
            " AND state_name IN ('Scheduled', 'Late') AND auto_scheduled = 1 AND run_count = 0"
            " AND next_scheduled_start_time > ? AND next_scheduled_start_time < ?"
            " ORDER BY next_scheduled_start_time DESC LIMIT ?",
            (deployment_id, *missed, MISSED_MAX),
        )
        runs = [MissedRun(*row) for row in rows]
        found += [each.run_id for each in skipped(wanted, runs, missed.before)]
    return found


def skip(tx: Tx, run_id: str, missed: Missed, clock: Clock) -> bool:
    """Cancel a run that was due in that time and that nobody has taken or put off; whether so.

    Its history says why.
    """
    try:
        loaded = flow_runs.load(tx, run_id)
    except Missing:
        return False
    run = loaded.run
    due = run.next_scheduled_start_time
    if run.state_type != "SCHEDULED" or run.run_count or due is None:
        return False
    if not missed.after < due < missed.before:
        return False
    body = StateBody(
        type="CANCELLED",
        name="Skipped",
        message=f"Missed while the server was not running, and skipped as the label {LABEL} asks.",
    )
    state = proposals.state(body, clock.mint)
    flow_runs.propose(tx, policies.FLOW_MINIMAL, loaded, state, clock.mint, clock.settings)
    return True
