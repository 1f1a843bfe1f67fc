"""A worker tears down what runs have left that did not end when they were cancelled.

Each run is a process that sleeps, started here as if by a worker that has gone. Prints what the
worker said of the clean-up messages and was answered, how each process ended, and in which state
its run is.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.worker_channel import CleanupOperationResultFrame
from prefect.exceptions import InfrastructureNotFound
from prefect.states import Cancelling, Running
from prefect.workers._cleanup import WorkerCleanupExecutor
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

RUNS = 4
POOL = "pool"
PATIENCE_S = 50


class Tearing(ProcessWorker):
    """Prefect's own process worker cannot kill what another one has started; this one can."""

    type = "tearing"

    def __init__(self, on_result: Callable[[CleanupOperationResultFrame], None]) -> None:
        super().__init__(POOL, name="w", create_pool_if_not_found=True)
        self._on_result = on_result

    async def kill_infrastructure(
        self,
        infrastructure_pid: str,
        configuration: ProcessJobConfiguration,
        grace_seconds: int = 30,
    ) -> None:
        try:
            os.kill(int(infrastructure_pid), signal.SIGKILL)
        except ProcessLookupError:
            raise InfrastructureNotFound from None

    def _create_cleanup_executor(self) -> WorkerCleanupExecutor:
        executor = super()._create_cleanup_executor()
        handle = executor.handle_operation_result

        def noting(frame: CleanupOperationResultFrame) -> object:
            self._on_result(frame)
            return handle(frame)

        executor.handle_operation_result = noting
        return executor


@flow
def sleeping() -> None:
    """Stands for what the processes do."""


async def stuck(process: subprocess.Popen[bytes]) -> UUID:
    """A run of the pool that this process is, and that is to be cancelled."""
    async with get_client() as client:
        run = await client.create_flow_run(sleeping, state=Running(), work_pool_name=POOL)
        await client.update_flow_run(run.id, infrastructure_pid=str(process.pid))
        await client.set_flow_run_state(run.id, Cancelling())
        return run.id


async def torn_down(processes: list[subprocess.Popen[bytes]]) -> dict[str, list[str | None]]:
    """Have a worker tear these down; what was said, and the states of the runs."""
    said: list[str | None] = []
    done = asyncio.Event()

    def on_result(frame: CleanupOperationResultFrame) -> None:
        said.append(f"{frame.payload.operation} {frame.payload.status}")
        if said.count("ack accepted") == RUNS:
            done.set()

    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="tearing"))
    runs = [await stuck(process) for process in processes]
    serving = asyncio.create_task(Tearing(on_result).start())
    await asyncio.wait_for(done.wait(), PATIENCE_S)
    serving.cancel()
    async with get_client() as client:
        states = [(await client.read_flow_run(id_)).state_name for id_ in runs]
    return {"said": said, "states": states}


def main() -> None:
    program = [sys.executable, "-c", "import signal; signal.pause()"]
    processes = [subprocess.Popen(program) for _ in range(RUNS)]
    try:
        found = asyncio.run(torn_down(processes))
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    print(json.dumps({**found, "ends": [process.wait(PATIENCE_S) for process in processes]}))


if __name__ == "__main__":
    main()
