"""Runs a flow with a retried task, mapped tasks and a sub-flow; prints its id and result."""

import json

from prefect import flow, get_run_logger, task
from prefect.runtime import task_run

NUMBERS = 3


@task(retries=1, retry_delay_seconds=0)
def flaky() -> str:
    get_run_logger().info("attempt %s", task_run.run_count)
    if task_run.run_count == 1:
        raise ValueError("the first attempt fails")
    return "ok"


@task
def double(number: int) -> int:
    return 2 * number


@flow
def inner(total: int) -> int:
    get_run_logger().warning("the total is %s", total)
    return total


@flow(name="nightly", flow_run_name="tonight")
def nightly() -> int:
    get_run_logger().info("started")
    flaky()
    total = sum(double.map(range(NUMBERS)).result())
    inner(total)
    get_run_logger().error("finished")
    return total


if __name__ == "__main__":
    state = nightly(return_state=True)
    print(json.dumps([str(state.state_details.flow_run_id), state.result()]))
