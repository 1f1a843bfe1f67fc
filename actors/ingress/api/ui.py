"""Searches made for the UI. Source: `prefect.server.api.ui`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.api.paging import filters_of, offset_of
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import NotFound
from lictor.schema.tables import dashboard, deployments
from lictor.schema.times import parse
from lictor.schema.wire.filters import (
    DashboardCounts,
    FlowIds,
    FlowRunIds,
    RecentFlowRuns,
    RunFilters,
)
from lictor.schema.wire.ui import NamedTaskRun, NextRun, OutcomeCount, RecentFlowRun

RECENT_MAX = 1000
"""Rows of `recent_flow_runs` unless fewer are asked for."""


async def recent_flow_runs(call: Call[RecentFlowRuns]) -> Response:
    """The dots of the scatter plot."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "EXPECTED_START_TIME_DESC"
    limit = RECENT_MAX if body.limit is None else max(body.limit, 0)
    offset = offset_of(body.offset)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> bytes:
        return encode(dashboard.recent_flow_runs(tx, filters, sort, limit, offset, now))

    return Response(200, await services.readers.read(query))


async def count_task_runs_by_flow_run(call: Call[FlowRunIds]) -> dict[str, int]:
    """Task runs of each flow run that was asked for."""
    ids = [str(id_) for id_ in call.body.flow_run_ids]
    return await call.services.readers.read(lambda tx: dashboard.count_task_runs(tx, ids))


async def count_deployments(call: Call[FlowIds]) -> dict[str, int]:
    """Deployments of each flow that was asked for."""
    ids = [str(id_) for id_ in call.body.flow_ids]
    return await call.services.readers.read(partial(deployments.count_by_flow, flow_ids=ids))


async def next_runs(call: Call[FlowIds]) -> dict[str, NextRun | None]:
    """The scheduled run of each flow that is due first."""
    ids = [str(id_) for id_ in call.body.flow_ids]
    return await call.services.readers.read(lambda tx: dashboard.next_runs(tx, ids))


async def outcome_counts(call: Call[DashboardCounts]) -> list[OutcomeCount]:
    """Task runs by outcome, in twenty buckets of time."""
    body, services = call.body, call.services
    window = dashboard.outcome_window(body.task_runs, parse(services.mint.now()))
    filters = filters_of(body)
    return await services.readers.read(
        lambda tx: dashboard.outcome_counts(tx, filters, body.task_runs, window)
    )


async def count_by_state(call: Call[RunFilters]) -> dict[str, int]:
    """Task runs that match, by state type."""
    filters = filters_of(call.body)
    return await call.services.readers.read(
        lambda tx: dashboard.task_runs_by_state(tx, filters)
    )


async def read_task_run(call: Call[None]) -> NamedTaskRun:
    """A task run with the name of its flow run."""
    services, id_ = call.services, call.params[0]
    now = parse(services.mint.now())
    run = services.readers.inline(
        lambda tx: dashboard.task_run_with_flow_run_name(tx, id_, now)
    )
    if run is None:
        raise NotFound("Task not found")
    return run


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/ui/flow_runs/history", recent_flow_runs, RecentFlowRuns, list[RecentFlowRun],
        optional_body=True, summary="Flow runs for the scatter plot",
    ),
    Operation(
        "POST", "/ui/flow_runs/count-task-runs", count_task_runs_by_flow_run, FlowRunIds,
        dict[str, int], optional_body=True, summary="Task runs of flow runs",
    ),
    Operation(
        "POST", "/ui/flows/count-deployments", count_deployments, FlowIds, dict[str, int],
        optional_body=True, summary="Deployments of flows",
    ),
    Operation(
        "POST", "/ui/flows/next-runs", next_runs, FlowIds, dict[str, NextRun | None],
        optional_body=True, summary="Next runs of flows",
    ),
    Operation(
        "POST", "/ui/task_runs/dashboard/counts", outcome_counts, DashboardCounts,
        list[OutcomeCount], optional_body=True, summary="Task runs by outcome over time",
    ),
    Operation(
        "POST", "/ui/task_runs/count", count_by_state, RunFilters, dict[str, int],
        optional_body=True, summary="Task runs by state",
    ),
    Operation(
        "GET", "/ui/task_runs/{id}", read_task_run, None, NamedTaskRun,
        summary="A task run with its flow run's name",
    ),
)  # fmt: skip
