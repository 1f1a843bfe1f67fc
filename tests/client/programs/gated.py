"""Flows that write down what they do and wait at gates, and the processes that run them.

`gated.py serve LIMIT TICK_S`: serve `gated/served` and, every TICK_S seconds, `tick/ticking`.
`gated.py deploy POOL`: make the work pool POOL and `gated/pooled` for its workers.
`gated.py create COUNT DEPLOYMENT GATE`: make COUNT runs that wait at GATE; prints the id of each.

Every run appends what it does to a file of its own, named by its id, below GATED_DIRECTORY; a gate
is open as soon as a file of its name is there.
"""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from prefect import flow, get_client, get_run_logger, runtime, serve, task
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker

DIRECTORY = Path(os.environ["GATED_DIRECTORY"])
LOOK_EVERY_S = 0.25


def note(what: str) -> None:
    """One line in the file of this run; and the same as a log line, by and by."""
    with (DIRECTORY / str(runtime.flow_run.id)).open("a") as file:
        file.write(f"{os.getpid()} {what}\n")
    get_run_logger().info("gated: %s", what)


@task
def step(name: str, gate: str | None = None) -> None:
    note(f"{name} begins")
    while gate is not None and not (DIRECTORY / gate).exists():
        time.sleep(LOOK_EVERY_S)
    note(f"{name} ends")


@flow
def gated(gate: str = "open") -> None:
    note("flow begins")
    step.with_options(name="before")("before")
    step.with_options(name="across")("across", gate)
    step.with_options(name="after")("after")
    note("flow ends")


@flow
def tick() -> None:
    note("tick")


def deploy(pool: str) -> None:
    with get_client(sync_client=True) as client:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="process", base_job_template=template), overwrite=True
        )
    here = Path(__file__)
    gated.from_source(str(here.parent), f"{here.name}:gated").deploy(
        "pooled",
        work_pool_name=pool,
        cron="30 4 * * *",
        print_next_steps=False,
        ignore_warnings=True,
    )


def create(count: int, deployment: str, gate: str) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        for number in range(count):
            run = client.create_flow_run_from_deployment(
                found.id, parameters={"gate": gate}, idempotency_key=f"{gate}-{number}"
            )
            print(run.id, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", limit, tick_s]:
            serve(
                gated.to_deployment("served", cron="0 3 * * *"),
                tick.to_deployment("ticking", interval=timedelta(seconds=int(tick_s))),
                limit=int(limit),
            )
        case ["deploy", pool]:
            deploy(pool)
        case ["create", count, deployment, gate]:
            create(int(count), deployment, gate)
