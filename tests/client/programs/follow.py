"""Follows events and log lines over their sockets while it makes some; prints what arrived."""

import asyncio
import json
import uuid
from datetime import UTC, datetime

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterLevel
from prefect.events import emit_event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.logging.clients import get_logs_subscriber

PATIENCE_S = 60


@flow
def watched() -> None:
    pass


async def follow_events() -> list[list[str]]:
    """The event of a client, then those of a run, as they pass."""
    wanted = EventFilter(
        event=EventNameFilter(prefix=["tests.door.", "prefect.flow-run."]),
    )
    seen: list[list[str]] = []
    async with get_events_subscriber(filter=wanted) as subscriber:
        emit_event("tests.window.opened", resource={"prefect.resource.id": "tests.window"})
        emit_event("tests.door.opened", resource={"prefect.resource.id": "tests.door"})
        run = asyncio.create_task(asyncio.to_thread(watched))
        async for event in subscriber:
            seen.append([event.event, event.resource.id.partition(".")[0]])
            if event.event == "prefect.flow-run.Completed":
                break
        await run
    return seen


async def read_stored() -> list[str]:
    """What was emitted, asked for afterwards."""
    wanted = EventFilter(resource=EventResourceFilter(id=["tests.door"]))
    async with get_client() as client:
        page = await client.read_events(wanted, limit=50)
        return [event.event for event in page.events]


async def follow_logs() -> list[str]:
    """The lines of one run from INFO up, as they are stored."""
    run, other = uuid.uuid4(), uuid.uuid4()
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]), level=LogFilterLevel(ge_=20))

    def line(message: str, level: int = 20, flow_run_id: uuid.UUID = run) -> LogCreate:
        now = datetime.now(UTC)
        return LogCreate(
            name="tests", level=level, message=message, timestamp=now, flow_run_id=flow_run_id
        )

    seen: list[str] = []
    async with get_client() as client, get_logs_subscriber(filter=wanted) as subscriber:
        # A socket says nothing when its filter is in force: repeat until it answers.
        async def knock() -> None:
            while not seen:
                await client.create_logs([line("knock")])
                await asyncio.sleep(0.05)
            await client.create_logs(
                [line("first"), line("debug", 10), line("other", 20, other), line("last", 40)]
            )

        knocking = asyncio.create_task(knock())
        async for log in subscriber:
            seen.append(log.message)
            if log.message == "last":
                break
        await knocking
    return [message for message in seen if message != "knock"]


async def main() -> None:
    async with asyncio.timeout(PATIENCE_S):
        events = await follow_events()
        print(json.dumps([events, await read_stored(), await follow_logs()]))


if __name__ == "__main__":
    asyncio.run(main())
