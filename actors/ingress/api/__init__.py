"""The API's resources: one file for each, joined into the one table `OPERATIONS`."""

from __future__ import annotations

from lictor.actors.ingress.api import (
    admin,
    concurrency_limits_v1,
    concurrency_limits_v2,
    deployments,
    events,
    explanations,
    flow_run_bulk,
    flow_run_resume,
    flow_run_search,
    flow_runs,
    flow_search,
    flows,
    graph,
    inputs,
    leases,
    logs,
    states,
    task_run_search,
    task_runs,
    task_workers,
    ui,
    work_pools,
    work_queues,
    workers,
)
from lictor.actors.ingress.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *admin.OPERATIONS,
    *concurrency_limits_v1.OPERATIONS,
    *concurrency_limits_v2.OPERATIONS,
    *deployments.OPERATIONS,
    *events.OPERATIONS,
    *explanations.OPERATIONS,
    *flows.OPERATIONS,
    *flow_search.OPERATIONS,
    *flow_runs.OPERATIONS,
    *flow_run_bulk.OPERATIONS,
    *flow_run_resume.OPERATIONS,
    *flow_run_search.OPERATIONS,
    *task_runs.OPERATIONS,
    *task_run_search.OPERATIONS,
    *task_workers.OPERATIONS,
    *graph.OPERATIONS,
    *inputs.OPERATIONS,
    *leases.OPERATIONS,
    *logs.OPERATIONS,
    *states.OPERATIONS,
    *ui.OPERATIONS,
    *work_pools.OPERATIONS,
    *work_queues.OPERATIONS,
    *workers.OPERATIONS,
)
"""Every operation of the API but those made from the table itself (documents, CSRF tokens)."""
