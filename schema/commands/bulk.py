"""Commands on every flow run that a filter matches.

Source: `prefect.server.api.flow_runs.{bulk_set_flow_run_state,bulk_delete_flow_runs}`.
"""

from __future__ import annotations

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import flow_runs
from lictor.schema.errors import Refused
from lictor.schema.filters import joins
from lictor.schema.filters.engine import condition
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.mint import Mint
from lictor.schema.wire.flow_runs import BulkResult
from lictor.schema.wire.states import SetState


def matching_ids(tx: ReadTx, criteria: FlowRunFilter | None, limit: int) -> list[str]:
    """The ids of at most `limit` matching runs, the greatest id first."""
    filters = {} if criteria is None else {"flow_runs": criteria}
    where = condition("flow_runs", joins.OF_FLOW_RUNS, filters)
    rows = tx.all(
        f"SELECT fr.id FROM flow_run fr WHERE {where.sql} ORDER BY fr.id DESC LIMIT ?",
        (*where.args, limit),
    )
    return [row[0] for row in rows]


def set_state_of_one(
    tx: Tx,
    id_: str,
    body: SetState,
    mint: Mint,
    settings: Settings,
    client_version: str | None = None,
) -> BulkResult:
    """Propose the state to one run; a run that is gone by now is an ABORT of its own."""
    try:
        result, _ = flow_runs.set_state(tx, id_, body, mint, settings, client_version)
    except Refused as error:
        details = {"type": "abort_details", "reason": error.detail}
        return BulkResult(id_, "ABORT", None, details)
    return BulkResult(id_, result.status, result.state, result.details)
