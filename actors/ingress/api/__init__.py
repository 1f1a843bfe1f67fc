"""The API's resources: one file for each, joined into the one table `OPERATIONS`."""

from __future__ import annotations

from lictor.actors.ingress.api import (
    admin,
    flow_run_search,
    flow_runs,
    flows,
    graph,
    inputs,
    logs,
    states,
    task_run_search,
    task_runs,
    ui,
)
from lictor.actors.ingress.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *admin.OPERATIONS,
    *flows.OPERATIONS,
    *flow_runs.OPERATIONS,
    *flow_run_search.OPERATIONS,
    *task_runs.OPERATIONS,
    *task_run_search.OPERATIONS,
    *graph.OPERATIONS,
    *inputs.OPERATIONS,
    *logs.OPERATIONS,
    *states.OPERATIONS,
    *ui.OPERATIONS,
)
"""Every operation of the API but those made from the table itself (documents, CSRF tokens)."""
