"""Runs missed while the server was down: which are skipped, and what becomes of them."""

from __future__ import annotations

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import flow_runs, proposals
from lictor.schema.commands.deadlines import Clock
from lictor.schema.errors import Missing
from lictor.schema.rules import policies
from lictor.schema.rules.catch_up import LABEL, Missed, policy, skipped
from lictor.schema.times import Timestamp
from lictor.schema.wire.states import StateBody

MISSED_MAX = 10_000
"""Missed runs of one deployment that are looked at, the latest first."""


def skipped_before(tx: ReadTx, now: Timestamp) -> list[str]:
    """Ids of runs that were due before `now` and that their deployments do not want any more."""
    found: list[str] = []
    deployments = tx.all("SELECT id, labels FROM deployment WHERE instr(labels, ?)", (LABEL,))
    for deployment_id, labels in deployments:
        wanted = policy(msgspec.json.decode(labels).get(LABEL))
        rows = tx.all(
            "SELECT id, json_extract(created_by, '$.id'), next_scheduled_start_time FROM flow_run"
            " WHERE deployment_id = ? AND state_type = 'SCHEDULED'"
            " AND state_name IN ('Scheduled', 'Late') AND auto_scheduled = 1 AND run_count = 0"
            " AND next_scheduled_start_time < ? ORDER BY next_scheduled_start_time DESC LIMIT ?",
            (deployment_id, now, MISSED_MAX),
        )
        found += [each.run_id for each in skipped(wanted, [Missed(*row) for row in rows], now)]
    return found


def skip(tx: Tx, run_id: str, clock: Clock) -> None:
    """Cancel a run that nobody has taken; its history says why."""
    try:
        loaded = flow_runs.load(tx, run_id)
    except Missing:
        return
    if loaded.run.state_type != "SCHEDULED":
        return
    body = StateBody(
        type="CANCELLED",
        name="Skipped",
        message=f"Missed while the server was down, and skipped as the label {LABEL} asks.",
    )
    state = proposals.state(body, clock.mint)
    flow_runs.propose(tx, policies.FLOW_MINIMAL, loaded, state, clock.mint, clock.settings)
