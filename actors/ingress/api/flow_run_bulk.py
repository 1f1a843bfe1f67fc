"""Flow runs in bulk: set the state of, or delete, every run that a filter matches.

Source: `prefect.server.api.flow_runs.{bulk_set_flow_run_state,bulk_delete_flow_runs}`.
"""

from __future__ import annotations

from functools import partial

import msgspec

from lictor.actors.ingress.api.flow_runs import client_version
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import bulk, flow_runs
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.wire.flow_runs import BulkLimit, BulkResult
from lictor.schema.wire.states import SetState, StateBody

BULK_LIMIT = 50


class BulkSetState(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/bulk_set_state`."""

    state: StateBody
    flow_runs: FlowRunFilter | None = None
    force: bool = False
    limit: BulkLimit = BULK_LIMIT


class BulkSetStateResults(msgspec.Struct):
    """What became of each run, in the order in which they were tried."""

    results: list[BulkResult]


class BulkDelete(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/bulk_delete`."""

    flow_runs: FlowRunFilter | None = None
    limit: BulkLimit = BULK_LIMIT


class BulkDeleted(msgspec.Struct):
    """The ids of the runs that are gone."""

    deleted: list[str]


async def bulk_set_state(call: Call[BulkSetState]) -> BulkSetStateResults:
    """Propose one state to every run the filter matches, each in a transaction of its own."""
    services, body = call.services, call.body
    ids = await services.readers.read(
        partial(bulk.matching_ids, criteria=body.flow_runs, limit=body.limit)
    )
    version = client_version(call.request)
    results = [
        await services.orchestrator.command(
            partial(
                bulk.set_state_of_one,
                id_=id_,
                body=SetState(state=body.state, force=body.force),
                mint=services.mint,
                settings=services.settings,
                client_version=version,
            )
        )
        for id_ in ids
    ]
    return BulkSetStateResults(results)


async def bulk_delete(call: Call[BulkDelete]) -> BulkDeleted:
    """Delete every run the filter matches."""
    services, body = call.services, call.body
    ids = await services.readers.read(
        partial(bulk.matching_ids, criteria=body.flow_runs, limit=body.limit)
    )
    deleted = [
        id_
        for id_ in ids
        if await services.orchestrator.command(partial(flow_runs.delete, id_=id_))
    ]
    return BulkDeleted(deleted)


OPERATIONS = (
    Operation(
        "POST",
        "/flow_runs/bulk_set_state",
        bulk_set_state,
        body=BulkSetState,
        result=BulkSetStateResults,
        optional_body=True,
    ),
    Operation(
        "POST",
        "/flow_runs/bulk_delete",
        bulk_delete,
        body=BulkDelete,
        result=BulkDeleted,
        optional_body=True,
    ),
)
