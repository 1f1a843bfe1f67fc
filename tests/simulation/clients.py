"""Clients that create runs and take them through their states, and those who only get in the way.

Each is a task with chance of its own. A logical request is repeated until an answer comes, as
Prefect's client does; its copies may also arrive twice or late, and its sender may leave before the
answer, and ask again, or never come back.
"""

from __future__ import annotations

import random
import uuid
from abc import ABC, abstractmethod
from typing import Any

import trio

from simulation.oracles import TERMINAL
from simulation.world import Gone, World
from simulation.wrong import Wrong

BACKOFF_S = 0.3
STATES = (
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED",
    "CANCELLING",
)  # fmt: skip


class Dead(Exception):
    """This client's process has ended in the midst of its work."""


class Client(ABC):
    """One client: `work` is what it does, in its own time.

    `gone` counts the requests of which it does not know whether they were carried out. `is_sure`:
    the last one was answered each time it was sent, only 503 until the last answer, and no sync had
    failed: a group whose sync fails is in the log all the same, and a crash may bring it back.
    """

    copies = True
    """Whether its requests may come twice."""
    is_mortal = True
    """Whether it may die while it waits for an answer."""
    agent: str | None = None
    """The User-Agent of its requests."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.chance = random.Random(f"{name} {world.plan.seed}")
        self.gone = 0
        self.is_sure = True
        self.copies_sent = 0

    async def run(self) -> None:
        try:
            await self.work()
        except Dead:
            self.world.note(self.name, "dies")

    @abstractmethod
    async def work(self) -> None:
        """What it does with its life."""

    def happens(self, probability: float) -> bool:
        """Whether something goes wrong now, while faults go on."""
        return not self.world.is_calm and self.chance.random() < probability

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    async def think(self) -> None:
        await trio.sleep(self.chance.expovariate(1 / self.world.plan.pace_s))

    async def travel(self) -> None:
        """What a request, or its answer, is under way."""
        await trio.sleep(self.chance.expovariate(1000))

    async def back_off(self) -> None:
        await self.world.up()
        await trio.sleep(max(BACKOFF_S, self.world.plan.pace_s / 10) * self.chance.uniform(0.5, 3))

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One logical request, until it is answered; its status (not 503) and body."""
        world = self.world
        self.is_sure = not world.has_failed_to_sync
        if self.copies and self.happens(world.plan.repeat):
            self.is_sure = False
            self.copies_sent += 1
            world.nursery.start_soon(self._copy, method, path, body)
        while True:
            try:
                status, answer, retry_after_s = await self._send(method, path, body)
            except Gone:
                self.gone += 1
                self.is_sure = False
                world.note(self.name, method, path, "gone")
                await self.back_off()
                continue
            world.note(self.name, method, path, status)
            if status != 503:
                world.retry_after_s = retry_after_s
                return status, answer
            assert retry_after_s >= 1
            self.is_sure = self.is_sure and not world.has_failed_to_sync
            await trio.sleep(retry_after_s * self.chance.uniform(1, 1.3))

    async def _send(self, method: str, path: str, body: Any) -> tuple[int, Any, float]:
        world = self.world
        await self.travel()
        if not self.happens(world.plan.vanish):
            answer = await world.request(method, path, body, self.agent)
            await self.travel()
            if self.happens(world.plan.vanish / 4):
                raise Gone
            return answer
        # Leaves after so many steps of the scheduler, or of the disk.
        with trio.CancelScope() as scope:
            world.nursery.start_soon(self._cut, scope, self.chance.randrange(6))
            return await world.request(method, path, body, self.agent)
        if self.is_mortal and self.chance.random() < 0.1:
            raise Dead
        raise Gone

    async def _cut(self, scope: trio.CancelScope, steps: int) -> None:
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        if self.chance.random() < 0.3:
            await trio.sleep(self.world.plan.slow_disk_s)
        scope.cancel()

    async def _copy(self, method: str, path: str, body: Any) -> None:
        """The same request once more: at once, or much later and out of order."""
        late_s = self.world.plan.pace_s * 5
        await trio.sleep(self.chance.choice([0.0, 0.001, self.chance.uniform(0, late_s)]))
        try:
            status, _, _ = await self.world.request(method, path, body, self.agent)
        except Gone:
            return
        self.world.note(self.name, method, path, status, "(copy)")

    # What is asked, and what an answer promises

    async def create_flow(self) -> str:
        status, flow = await self.ask(
            "POST", "/flows/", {"name": f"flow-{self.chance.randrange(3)}"}
        )
        assert status in (200, 201), status
        flow_id: str = flow["id"]
        return flow_id

    async def create_run(
        self, flow_id: str, *, is_secret: bool = False, **fields: Any
    ) -> dict[str, Any]:
        """A new run; nobody meddles with a secret one."""
        key = self.new_id()
        body = {"flow_id": flow_id, "idempotency_key": key, "tags": ["a", "b"], **fields}
        status, run = await self.ask("POST", "/flow_runs/", body)
        if status not in (200, 201):
            raise Wrong(f"creating a run was answered {status}: {run}")
        if status == 200 and self.is_sure:
            raise Wrong(f"run {run['id']} was stored, and its creation refused with 503")
        self.world.oracles.acknowledge_run(key, run["id"])
        if status == 201:
            self.world.oracles.acknowledge("state", [run["state"]["id"]])
            self.world.oracles.acknowledge("event", [run["state"]["id"]])
        if not is_secret:
            self.world.runs.append(run["id"])
        found: dict[str, Any] = run
        return found

    async def set_state(
        self, run_id: str, type_: str, *, force: bool = False, **state: Any
    ) -> dict[str, Any]:
        """The verdict of a proposal."""
        self.world.oracles.propose(run_id, type_, force=force)
        details = {"transition_id": self.new_id(), **state.pop("state_details", {})}
        body = {"state": {"type": type_, "state_details": details, **state}, "force": force}
        status, result = await self.ask("POST", f"/flow_runs/{run_id}/set_state", body)
        if status not in (200, 201):
            raise Wrong(f"a proposal was answered {status}: {result}")
        held = result["state"]
        is_mine = held and held["state_details"]["transition_id"] == details["transition_id"]
        if status == 200 and self.is_sure and is_mine:
            raise Wrong(f"state {held['id']} was stored, and its proposal refused with 503")
        if status == 201:
            self.world.oracles.acknowledge("state", [result["state"]["id"]])
            self.world.oracles.acknowledge("event", [result["state"]["id"]])
        found: dict[str, Any] = result
        return found

    async def stand_in(self, run_id: str) -> str:
        """The task run that stands for a subflow."""
        key = self.new_id()
        body = {
            "name": f"parent {key}", "flow_run_id": run_id, "task_key": "subflow",
            "dynamic_key": key,
        }  # fmt: skip
        status, task_run = await self.ask("POST", "/task_runs/", body)
        assert status in (200, 201), (status, task_run)
        task_run_id: str = task_run["id"]
        self.world.oracles.acknowledge("task run", [task_run_id])
        return task_run_id


class Runner(Client):
    """An engine: creates runs and takes each to its end, as Prefect's does."""

    async def work(self) -> None:
        flow_id = await self.create_flow()
        for _ in range(self.world.plan.runs_each):
            await self.think()
            await self.take_through(flow_id)

    async def take_through(self, flow_id: str, depth: int = 0, **fields: Any) -> None:
        retries = self.chance.choice([0, 0, 1, 2])
        policy = {"retries": retries, "retry_delay": self.chance.choice([0, 5])}
        run = await self.create_run(flow_id, empirical_policy=policy, **fields)
        run_id: str = run["id"]
        await self.think()
        await self.set_state(run_id, "PENDING")
        result = await self.set_state(run_id, "RUNNING")
        for _ in range(12):
            await self.think()
            status, details = result["status"], result["details"]
            type_ = (result["state"] or {}).get("type")
            if status == "ABORT" or type_ in TERMINAL:
                return
            if status == "WAIT":
                await trio.sleep(details["delay_seconds"])
                result = await self.set_state(run_id, "RUNNING")
            elif type_ == "SCHEDULED":
                result = await self.set_state(run_id, "RUNNING", name="Retrying")
            elif type_ == "PAUSED":
                result = await self.resume(run_id)
            elif type_ == "CANCELLING":
                result = await self.set_state(run_id, "CANCELLED")
            elif type_ == "RUNNING":
                result = await self.act(run_id, flow_id, depth)
            else:
                result = await self.set_state(run_id, "RUNNING")

    async def act(self, run_id: str, flow_id: str, depth: int) -> dict[str, Any]:
        """What a running flow does next."""
        draw = self.chance.random()
        if draw < 0.15 and depth < 2:
            task_run_id = await self.stand_in(run_id)
            await self.take_through(flow_id, depth + 1, parent_task_run_id=task_run_id)
            return await self.set_state(run_id, "COMPLETED")
        if draw < 0.3:
            timeout = {"pause_timeout": "2099-01-01T00:00:00Z", "pause_key": self.new_id()}
            return await self.set_state(run_id, "PAUSED", name="Paused", state_details=timeout)
        if draw < 0.4:
            return await self.set_state(run_id, "CANCELLING")
        if draw < 0.6:
            return await self.set_state(run_id, "FAILED", message="it went wrong")
        return await self.set_state(run_id, "COMPLETED")

    async def resume(self, run_id: str) -> dict[str, Any]:
        self.world.oracles.propose(run_id, "RUNNING")
        status, result = await self.ask("POST", f"/flow_runs/{run_id}/resume")
        assert status in (200, 201), (status, result)
        found: dict[str, Any] = result
        if found["status"] == "ABORT":  # (an earlier copy of this request has resumed it)
            return await self.set_state(run_id, "RUNNING")
        return found


class Intruder(Client):
    """Proposes anything to any run, at the wrong time, sometimes by force, and looks around."""

    async def work(self) -> None:
        for _ in range(self.chance.randint(3, 15)):
            await self.think()
            if not self.world.runs:
                continue
            run_id = self.chance.choice(self.world.runs)
            if self.chance.random() < 0.3:
                status, run = await self.ask("GET", f"/flow_runs/{run_id}")
                assert status == 200, (status, run)
                self.world.note(self.name, run["state_type"], run["run_count"])
                await self.ask("POST", "/flow_runs/filter", {"limit": 5})
            elif self.chance.random() < 0.2:
                await self.create_in_vain(run_id)
            else:
                force = self.chance.random() < 0.2
                await self.set_state(run_id, self.chance.choice(STATES), force=force)

    async def create_in_vain(self, run_id: str) -> None:
        """A run whose parent does not exist: it is refused when its row has been written."""
        status, run = await self.ask("GET", f"/flow_runs/{run_id}")
        assert status == 200, (status, run)
        body = {"flow_id": run["flow_id"], "name": "refused", "parent_task_run_id": self.new_id()}
        status, answer = await self.ask("POST", "/flow_runs/", body)
        if status != 409:
            raise Wrong(f"a run of an unknown parent was answered {status}: {answer}")


class Shipper(Client):
    """Sends batches of three log lines, at times several at once."""

    async def work(self) -> None:
        for number in range(self.chance.randint(3, 8)):
            await self.think()
            async with trio.open_nursery() as nursery:
                for part in range(self.chance.choice([1, 1, 3])):
                    nursery.start_soon(self.ship, f"{self.name} {number}.{part}")

    async def ship(self, batch: str) -> None:
        runs = self.world.runs
        lines = [
            {
                "name": batch, "level": 20, "message": f"{batch} line {line}",
                "timestamp": self.world.now(),
                "flow_run_id": self.chance.choice(runs) if runs else None,
            }
            for line in range(3)
        ]  # fmt: skip
        try:
            status, answer = await self.ask("POST", "/logs/", lines)
        except Dead:
            return
        assert status in (200, 201), (status, answer)
        self.world.oracles.acknowledge("line", [line["message"] for line in lines])
