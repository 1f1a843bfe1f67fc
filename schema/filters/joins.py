"""How the kinds hang together: what a filter on another kind means for a row.

Source: `_apply_flow_filters`, `_apply_flow_run_filters`, `_apply_task_run_filters` of
`prefect.server.models`.
"""

from __future__ import annotations

from lictor.schema.filters.engine import Join

_FLOW_OF_RUN = Join(
    "flows", "flow f", "fr.flow_id", "f.id", small=True, enforced=True, required=True
)
_DEPLOYMENT_OF_RUN = Join("deployments", "deployment d", "fr.deployment_id", "d.id", small=True)
_POOL_OF_QUEUE = Join("work_pools", "work_pool wp", "wq.work_pool_id", "wp.id", small=True)
_QUEUE_OF_RUN = Join(
    "work_queues", "work_queue wq", "fr.work_queue_id", "wq.id", (_POOL_OF_QUEUE,), small=True
)
_TASK_RUNS_OF_RUN = Join("task_runs", "task_run tr", "fr.id", "tr.flow_run_id")

OF_FLOW_RUNS = (_FLOW_OF_RUN, _DEPLOYMENT_OF_RUN, _QUEUE_OF_RUN, _TASK_RUNS_OF_RUN)

OF_TASK_RUNS = (
    Join(
        "flow_runs",
        "flow_run fr",
        "tr.flow_run_id",
        "fr.id",
        (_FLOW_OF_RUN, _DEPLOYMENT_OF_RUN, _QUEUE_OF_RUN),
        enforced=True,
    ),
)

_QUEUE_OF_DEPLOYMENT = Join(
    "work_queues", "work_queue wq", "d.work_queue_id", "wq.id", (_POOL_OF_QUEUE,), small=True
)

OF_FLOWS = (
    Join("flow_runs", "flow_run fr", "f.id", "fr.flow_id", (_TASK_RUNS_OF_RUN,)),
    Join(
        "deployments", "deployment d", "f.id", "d.flow_id", (_QUEUE_OF_DEPLOYMENT,), small=True
    ),
)

OF_DEPLOYMENTS = (
    Join("flows", "flow f", "d.flow_id", "f.id", small=True, enforced=True, required=True),
    Join("flow_runs", "flow_run fr", "d.id", "fr.deployment_id", (_TASK_RUNS_OF_RUN,)),
    _QUEUE_OF_DEPLOYMENT,
)
