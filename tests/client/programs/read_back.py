"""Prints what the API says about the flow run whose id is the argument."""

import json
import sys
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.sorting import LogSort


def main(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        own = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id]))
        task_runs = client.read_task_runs(task_run_filter=own)
        parents = {each.id for each in task_runs}
        children = [each for each in client.read_flow_runs() if each.parent_task_run_id in parents]
        logs = client.read_logs(
            LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])),
            sort=LogSort.TIMESTAMP_ASC,
        )
        states = client.read_flow_run_states(run_id)
    told = {
        "name": run.name,
        "states": [each.name for each in states],
        "task_runs": sorted(
            [each.name.rsplit("-", 1)[0], each.state_name, each.run_count] for each in task_runs
        ),
        "children": [[each.state_name, each.parameters] for each in children],
        "logs": [[log.level, log.message] for log in logs],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(UUID(sys.argv[1]))
