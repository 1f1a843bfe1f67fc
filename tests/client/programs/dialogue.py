"""One party sends inputs to a flow run, the other receives them; prints what was received."""

import asyncio
import json

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput, receive_input, send_input


class Approval(RunInput):
    by: str
    rows: int


@flow
def addressed() -> None:
    pass


async def main() -> None:
    state = await asyncio.to_thread(addressed, return_state=True)
    run_id = state.state_details.flow_run_id
    for text in ("one", "two"):
        await send_input(text, flow_run_id=run_id)
    await Approval(by="ada", rows=3).send_to(flow_run_id=run_id)
    received: list[object] = []
    handler = receive_input(str, flow_run_id=run_id, timeout=30, poll_interval=0.05)
    async for text in handler:
        received.append(text)
        if len(received) == 2:
            break
    approvals = receive_input(Approval, flow_run_id=run_id, timeout=30, poll_interval=0.05)
    async for approval in approvals:
        received.append([approval.by, approval.rows])
        break
    async with get_client() as client:
        await client.create_flow_run_input(flow_run_id=run_id, key="plain", value="v")
        received.append(await client.read_flow_run_input(flow_run_id=run_id, key="plain"))
        await client.delete_flow_run_input(flow_run_id=run_id, key="plain")
        flow_id = await client.create_flow_from_name("addressed")
        run = await client.read_flow_run(run_id)
        received.append(run.flow_id == flow_id)
        await client.delete_flow(flow_id)
        try:
            await client.read_flow_run(run_id)
        except ObjectNotFound:
            received.append("gone")
    print(json.dumps(received))


if __name__ == "__main__":
    asyncio.run(main())
