"""What requests do to flows, in their transaction.

Source: `prefect.server.models.flows`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw

from lictor.schema.backends.tx import Tx
from lictor.schema.commands import deployments, flow_runs
from lictor.schema.errors import NotFound
from lictor.schema.events.lifecycle import Action, lifecycle_event
from lictor.schema.mint import Mint
from lictor.schema.tables import deployments as deployment_table
from lictor.schema.tables import events
from lictor.schema.tables import flows as table
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.flows import Flow, FlowCreate, FlowUpdate

RUNS_PER_DELETE = 100
"""Runs, and deployments, that go with their flow in one transaction: some ten milliseconds of the
only writer."""


def create(tx: Tx, body: FlowCreate, mint: Mint) -> tuple[Flow, bool]:
    """The flow of that name, and whether it is new; an existing one stays as it is."""
    found = table.read_by_name(tx, body.name)
    if found is not None:
        return found, False
    now = mint.now()
    flow = Flow(
        mint.id(),
        now,
        now,
        body.name,
        Raw(encode_text(body.tags)),
        Raw(encode_text(body.labels)),
    )
    table.insert(tx, flow)
    _publish(tx, flow, "created", mint)
    return flow, True


def update(tx: Tx, id_: str, body: FlowUpdate, mint: Mint) -> None:
    """Write the fields that are in the body; it counts as an update even if there are none.

    Raises:
        NotFound: there is no such flow.
    """
    if not table.touch(tx, id_, mint.now()):
        raise NotFound("Flow not found")
    if body.tags is not UNSET:
        table.update_tags(tx, id_, body.tags)
    flow = table.read(tx, id_)
    assert flow is not None
    _publish(tx, flow, "updated", mint)


def delete(tx: Tx, id_: str, mint: Mint) -> Literal["missing", "unfinished", "deleted"]:
    """Delete some deployments and runs of the flow and, when none is left, the flow itself.

    To be called again while it is `unfinished`: a flow with very many runs goes in many short
    transactions instead of one that keeps every other writer waiting.
    """
    flow = table.read(tx, id_)
    if flow is None:
        return "missing"
    owned = deployment_table.ids_of_flow(tx, id_, RUNS_PER_DELETE)
    for deployment_id in owned:
        deployments.delete(tx, deployment_id, mint)
    if len(owned) == RUNS_PER_DELETE:
        return "unfinished"
    runs = table.run_ids(tx, id_, RUNS_PER_DELETE)
    for run_id in runs:
        flow_runs.delete(tx, run_id)
    if len(runs) == RUNS_PER_DELETE:
        return "unfinished"
    table.delete(tx, id_)
    _publish(tx, flow, "deleted", mint)
    return "deleted"


def _publish(tx: Tx, flow: Flow, action: Action, mint: Mint) -> None:
    payload = {
        "name": flow.name,
        "tags": msgspec.json.decode(flow.tags),
        "labels": msgspec.json.decode(flow.labels),
    }
    events.insert(tx, [lifecycle_event(mint, "flow", action, flow.id, flow.name, payload)])
