"""Clients that leave their runs to themselves: what housekeeping must then take to an end."""

from __future__ import annotations

import itertools
from typing import Any

from lictor.schema import times
from simulation.clients import Client

KINDS = ("late", "pending", "paused", "cancelling", "silent", "parent")


class Deserter(Client):
    """Begins runs in each of the ways that end in a wait, and never comes back to them.

    Its requests are not copied: a late copy would wake a run that has ended.
    """

    copies = False

    async def work(self) -> None:
        flow_id = await self.create_flow()
        for _ in range(self.chance.randint(1, 5)):
            await self.think()
            kind = self.chance.choice(KINDS)
            run_id = await getattr(self, kind)(flow_id)
            self.world.note(self.name, "leaves", run_id, kind)
            if run_id is not None:
                self.world.oracles.deserted[run_id] = kind

    async def new_run(self, flow_id: str, **fields: Any) -> str:
        run = await self.create_run(flow_id, is_secret=True, **fields)
        run_id: str = run["id"]
        return run_id

    async def running(self, flow_id: str, **fields: Any) -> str:
        run_id = await self.new_run(flow_id, **fields)
        await self.set_state(run_id, "RUNNING")
        return run_id

    async def late(self, flow_id: str) -> str:
        """Nobody takes it up at its time."""
        when = times.shift(self.world.now(), self.chance.choice([-100, 5, 100]))
        details = {"scheduled_time": when}
        state = {"type": "SCHEDULED", "state_details": details}
        return await self.new_run(flow_id, state=state)

    async def pending(self, flow_id: str) -> str:
        """It was submitted and never starts."""
        return await self.new_run(flow_id, state={"type": "PENDING"})

    async def paused(self, flow_id: str) -> str:
        """Nobody resumes it."""
        run_id = await self.running(flow_id)
        when = times.shift(self.world.now(), self.chance.choice([1, 30, 200]))
        await self.set_state(run_id, "PAUSED", state_details={"pause_timeout": when})
        return run_id

    async def cancelling(self, flow_id: str) -> str:
        """Its process does not say that it has stopped."""
        run_id = await self.running(flow_id)
        await self.set_state(run_id, "CANCELLING")
        return run_id

    async def silent(self, flow_id: str) -> str | None:
        """It sent heartbeats, and sends no more.

        None when a jump of a clock made them look rare: its silence is waited on for much longer.
        """
        run_id = await self.running(flow_id)
        beats: list[str] = []
        for _ in range(self.chance.randint(1, 3)):
            await self.think()
            beats.append(self.world.now())
            event = {
                "id": self.new_id(), "occurred": beats[-1],
                "event": "prefect.flow-run.heartbeat",
                "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
            }  # fmt: skip
            status, answer = await self.ask("POST", "/events", [event])
            assert status == 204, (status, answer)
            self.world.oracles.acknowledge("event", [event["id"]])
        rare_s = 10 + 12 * self.world.plan.pace_s
        steps = [times.seconds_between(*pair) for pair in itertools.pairwise(beats)]
        return run_id if all(abs(step) < rare_s for step in steps) else None

    async def parent(self, flow_id: str) -> str:
        """It is cancelled, and with it the subflow and the task that stands for it."""
        run_id = await self.running(flow_id)
        task_run_id = await self.stand_in(run_id)
        child_id = await self.running(flow_id, parent_task_run_id=task_run_id)
        await self.set_state(run_id, "CANCELLED")
        self.world.oracles.deserted[child_id] = "child"
        self.world.oracles.deserted_tasks[task_run_id] = None
        return run_id
