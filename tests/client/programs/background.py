"""Schedules background tasks before and while a task worker serves them; prints their results."""

import asyncio
import json

from prefect import get_client, task
from prefect.task_worker import TaskWorker

WAIT_S = 60


@task(persist_result=True, retries=1)
def shout(text: str) -> str:
    return text.upper()


async def main() -> None:
    early = await asyncio.to_thread(shout.delay, "early")
    worker = TaskWorker(shout, limit=2)
    serving = asyncio.create_task(worker.astart())
    later = [await asyncio.to_thread(shout.delay, str(number)) for number in range(3)]
    results = [await future.result_async(timeout=WAIT_S) for future in (early, *later)]
    async with get_client() as client:
        known = await client._client.post(
            "/task_workers/filter", json={"task_worker_filter": {"task_keys": [shout.task_key]}}
        )
    serving.cancel()
    await asyncio.wait([serving])
    workers = [each["identifier"] == worker.client_id for each in known.json()]
    print(json.dumps({"results": results, "workers": workers}))


if __name__ == "__main__":
    asyncio.run(main())
