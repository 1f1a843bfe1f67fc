"""Those who take scheduled runs and execute them: workers of pools, and runners of served flows.

Nobody but them moves a scheduled run. Some vanish in the midst of one, and the server has to find
out; some are silent for a while. They never end by themselves: they keep the system alive.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import trio

from simulation import polling, timetables
from simulation.clients import Client
from simulation.planners import POOLS, QUEUES
from simulation.world import Gone, World
from simulation.wrong import Wrong

CAPACITY = 4
ALL_QUEUES = (None, list(QUEUES))
SOME_QUEUES = (None, list(QUEUES[:2]), list(QUEUES[2:]))
PREFETCH_S = 10.0
GRACE_S = 60.0
"""What planners give to a run that was submitted, before it starts or renews its lease."""
RENEWING = "prefect/3.9.1 (API 0.8.4)"
"""How a client names itself that renews its lease on the slot of a deployment."""


class Belief(NamedTuple):
    """`who` executes a run of the deployment, and may believe so until `until_s`."""

    who: str
    deployment_id: str
    until_s: float
    has_started: bool


class Taker(Client):
    """Polls, and executes what it is handed."""

    copies = False
    is_mortal = False

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.scope = trio.CancelScope()
        self._busy: set[str] = set()
        self.agent = self.chance.choice([None, RENEWING])

    async def run(self) -> None:
        with self.scope:
            await super().run()

    async def work(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                for run in await self.poll():
                    if run["id"] not in self._busy and len(self._busy) < CAPACITY:
                        self._busy.add(run["id"])
                        nursery.start_soon(self._take, run)
                await trio.sleep(self.rest_s() * self.chance.uniform(0.8, 1.2))
                if self.happens(0.05):
                    await trio.sleep(self.rest_s() * 12)

    def rest_s(self) -> float:
        """About how long from one poll to the next: longer once there is little to take."""
        plan = self.world.plan
        return plan.poll_s if self.world.planning else plan.slow_poll_s

    @abstractmethod
    async def poll(self) -> list[Any]:
        """The runs it is handed."""

    async def send(self, path: str, body: Any, expect: polling.Expect | None = None) -> Any:
        """One attempt of a POST; the answer of 200, else None."""
        server = self.world.server
        if server is None:
            return None
        if self.happens(self.world.plan.repeat):
            self.world.nursery.start_soon(self._copy, "POST", path, body)
        try:
            if expect is None:
                status, answer, _ = await self.world.request("POST", path, body)
                right: list[polling.Answer] = []
            else:
                with self.world.polls.sent(server.connection, expect) as right:
                    status, answer, _ = await self.world.request("POST", path, body)
        except Gone:
            return None
        self.world.note(self.name, "POST", path, status)
        if status == 200 and expect is not None:
            runs = [each.get("flow_run", each) for each in answer]
            polling.check(f"{path} {body}", tuple(run["id"] for run in runs), right)
            for run in runs:
                self.world.missed.handed_out(run["id"])
            return runs
        return answer if status == 200 else None

    def due_before(self) -> str:
        """Until when it takes what is scheduled."""
        return timetables.stamp_of(self.world.wall_ns() // 1000 + round(PREFETCH_S * 1e6))

    # One run

    async def _take(self, run: dict[str, Any]) -> None:
        try:
            await self._execute(run["id"], run["deployment_id"])
        finally:
            self._busy.discard(run["id"])
            self._disbelieve(run["id"])

    async def _execute(self, run_id: str, deployment_id: str) -> None:
        asked_s = trio.current_time()
        self.copies = self.happens(self.world.plan.repeat)
        result = await self.propose(run_id, "PENDING")
        self.copies = False
        if result is None:
            return
        starts_by_s = asked_s + min(GRACE_S, self.world.settings.pending_timeout_s)
        self._believe(run_id, deployment_id, asked_s, starts_by_s)
        if self.happens(0.05):
            return
        await self._work()
        while True:
            asked_s = trio.current_time()
            result = await self.propose(run_id, "RUNNING")
            if result is None:
                return
            if result["status"] != "WAIT":
                break
            await trio.sleep(result["details"]["delay_seconds"])
        until_s = math.inf if self.agent is None else asked_s + GRACE_S
        self._believe(run_id, deployment_id, asked_s, until_s, is_new=False)
        if self.happens(0.08):
            await self._beat_once(run_id)
            return
        await self._work()
        await self._renew(run_id, deployment_id, result)
        await self._work()
        self._disbelieve(run_id)
        await self.propose(run_id, self.chance.choice(["COMPLETED", "COMPLETED", "FAILED"]))

    async def _work(self) -> None:
        await trio.sleep(self.chance.expovariate(1 / self.world.plan.work_s))

    async def propose(self, run_id: str, type_: str) -> dict[str, Any] | None:
        """The result, if the run is this client's to go on with, or to wait for; else None."""
        world = self.world
        world.oracles.propose(run_id, type_)
        details = {"transition_id": self.new_id()}
        body = {"state": {"type": type_, "state_details": details}, "force": False}
        path = f"/flow_runs/{run_id}/set_state"
        status, result = await self.ask("POST", path, body)
        if status == 404:
            return None
        if status not in (200, 201):
            raise Wrong(f"a proposal was answered {status}: {result}")
        held = result["state"]
        if status == 201:
            world.oracles.acknowledge("state", [held["id"]])
            world.oracles.acknowledge("event", [held["id"]])
        is_mine = held and held["state_details"]["transition_id"] == details["transition_id"]
        world.note(self.name, run_id, type_, result["status"], held and held["name"])
        found: dict[str, Any] = result
        return found if is_mine or result["status"] == "WAIT" else None

    async def _beat_once(self, run_id: str) -> None:
        """The one sign of life of a run whose process is about to vanish."""
        event = {
            "id": self.new_id(), "occurred": self.world.now(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
        }  # fmt: skip
        status, answer = await self.ask("POST", "/events", [event])
        assert status == 204, (status, answer)

    async def _renew(self, run_id: str, deployment_id: str, result: dict[str, Any]) -> None:
        lease_id = result["state"]["state_details"]["deployment_concurrency_lease_id"]
        if self.agent is None or lease_id is None:
            return
        asked_s = trio.current_time()
        path = f"/v2/concurrency_limits/leases/{lease_id}/renew"
        status, answer = await self.ask("POST", path, {"lease_duration": GRACE_S})
        if status == 410:
            self._disbelieve(run_id)
            return
        assert status == 204, (status, answer)
        self._believe(run_id, deployment_id, asked_s, asked_s + GRACE_S, is_new=False)

    # What it may believe

    def _believe(
        self, run_id: str, deployment_id: str, asked_s: float, until_s: float, is_new: bool = True
    ) -> None:
        """It executes this run; nobody else does, nor too many others of its deployment."""
        running, now_s = self.world.running, trio.current_time()
        for other_id, belief in list(running.items()):
            if belief.until_s <= now_s:
                del running[other_id]
        if is_new and run_id in running:
            raise Wrong(f"run {run_id} is executed by {running[run_id].who} and by {self.name}")
        if not is_new and run_id not in running:
            return
        if self.world.jumped_at_s >= asked_s:
            running.pop(run_id, None)
            return
        running[run_id] = Belief(self.name, deployment_id, until_s, not is_new)
        _, limit = self.world.deployments.get(deployment_id, (None, None))
        active = [id_ for id_, each in running.items() if each.deployment_id == deployment_id]
        if limit is not None and len(active) > limit:
            raise Wrong(f"of deployment {deployment_id}, limited to {limit}, run: {active}")

    def _disbelieve(self, run_id: str) -> None:
        belief = self.world.running.get(run_id)
        if belief is not None and belief.who == self.name:
            del self.world.running[run_id]


class PoolWorker(Taker):
    """A worker of a work pool: sends heartbeats, and takes runs of all queues or of some."""

    def __init__(
        self, world: World, name: str, pool: str, queues: Sequence[list[str] | None]
    ) -> None:
        super().__init__(world, name)
        self.pool = pool
        self.queues = self.chance.choice(queues)
        self.online_until_s = 0.0

    async def poll(self) -> list[Any]:
        path, now_s = f"/work_pools/{self.pool}", trio.current_time()
        interval_s = round(self.rest_s() * 1.5)
        beat = {"name": self.name, "heartbeat_interval_seconds": interval_s}
        server = self.world.server
        if server is not None:
            try:
                status, _, _ = await self.world.request("POST", f"{path}/workers/heartbeat", beat)
            except Gone:
                status = 0
            if status == 204:
                missed = self.world.settings.worker_missed_heartbeats
                self.online_until_s = now_s + interval_s * missed
        before, limit = self.due_before(), self.chance.choice([1, 3, 20])
        expect = polling.of_pool(self.pool, self.queues, before, limit)
        body = {"work_queue_names": self.queues, "scheduled_before": before, "limit": limit}
        runs = await self.send(f"{path}/get_scheduled_flow_runs", body, expect)
        return runs or []


class Server(Taker):
    """A process that serves flows: it asks for runs of the deployments that have no pool."""

    async def poll(self) -> list[Any]:
        ids = [id_ for id_, (pool, _) in self.world.deployments.items() if pool is None]
        before, limit = self.due_before(), self.chance.choice([1, 3, 20])
        expect = polling.of_deployments(ids, before, limit)
        body = {"deployment_ids": ids, "scheduled_before": before, "limit": limit}
        return await self.send("/deployments/get_scheduled_flow_runs", body, expect) or []


def workers_of(world: World) -> list[Taker]:
    """Some for each pool, and some for no pool."""
    plan = world.plan
    found: list[Taker] = []
    if plan.planners:
        found += [
            PoolWorker(
                world,
                f"pool-worker-{number}",
                POOLS[number % len(POOLS)],
                # The first of each pool takes from all queues, so that none is without anybody.
                ALL_QUEUES if number < len(POOLS) else SOME_QUEUES,
            )
            for number in range(plan.pool_workers)
        ]
        found += [Server(world, f"server-{number}") for number in range(plan.servers)]
    return found
