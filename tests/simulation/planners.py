"""Planners: clients that deploy flows on schedules, and change their minds.

A planner alone touches its deployments, so that what it was answered last is how they are; but late
copies of its own requests arrive as well, and then it does not know. In the end it slows everything
down, so that the rest of the history has few runs.
"""

from __future__ import annotations

from typing import Any

import trio

from lictor.actors.deadlines import GATHER_S
from simulation import missed, timetables
from simulation.clients import Client
from simulation.world import World
from simulation.wrong import Wrong

POOLS = ("pool-a", "pool-b")
QUEUES = ("default", "urgent", "idle")
CHANGES = (
    "add", "patch_schedule", "patch_schedule", "drop_schedule", "drop_schedule", "pause", "resume",
    "patch", "upsert", "delete", "patch_queue", "patch_queue", "patch_pool", "race", "race", "race",
)  # fmt: skip
RACING = ("patch_schedule", "drop_schedule", "pause", "resume", "patch")
Fields = dict[str, Any]


class Planner(Client):
    """Deploys, and changes what it has deployed.

    It does not die: what it has paused would stay so, and its schedules would never slow down.
    """

    is_mortal = False

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        world.planning.add(name)
        self._changes = 0
        self._flow_id = ""
        self._bodies: dict[str, Fields] = {}
        self._ids: dict[str, str] = {}
        self._known: dict[str, tuple[bool, list[str]]] = {}
        self._murky_until_s = 0.0
        self._is_racing = False

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self.world.planning.discard(self.name)

    async def work(self) -> None:
        self._flow_id = await self.create_flow()
        for pool in POOLS:
            await self._make_pool(pool)
        for number in range(self.chance.randint(1, 3)):
            await self._deploy(f"{self.name} {number}")
        for _ in range(self.chance.randint(4, 12)):
            await self.think()
            await self._expect_known()
            await getattr(self, f"_{self.chance.choice(CHANGES)}")(self.chance.choice([*self._ids]))
        self.copies = False
        await trio.sleep(6 * self.world.plan.pace_s)
        await self._slow_down()

    async def think(self) -> None:
        """At times long enough for others to act upon the last change."""
        plan = self.world.plan
        mean_s = self.chance.choice([plan.pace_s, plan.pace_s, plan.poll_s])
        await trio.sleep(self.chance.expovariate(1 / mean_s))

    # Pools

    async def _make_pool(self, name: str) -> None:
        body = {
            "name": name,
            "type": "process",
            "concurrency_limit": self.chance.choice([None, 2, 5]),
        }
        await self._do("POST", "/work_pools/", body)
        for queue in QUEUES[1:]:
            body = {"name": queue, "concurrency_limit": self.chance.choice([None, 1, 2])}
            await self._do("POST", f"/work_pools/{name}/queues", body)

    async def _patch_queue(self, _: str) -> None:
        path = f"/work_pools/{self.chance.choice(POOLS)}/queues/{self.chance.choice(QUEUES)}"
        body = self.chance.choice([
            {"is_paused": True}, {"is_paused": False}, {"priority": self.chance.randint(1, 4)},
            {"concurrency_limit": self.chance.choice([0, 1])},
            {"concurrency_limit": self.chance.choice([None, 3])},
        ])  # fmt: skip
        await self._do("PATCH", path, body)

    async def _patch_pool(self, _: str) -> None:
        body = self.chance.choice([
            {"is_paused": True}, {"is_paused": False}, {"concurrency_limit": None},
            {"concurrency_limit": self.chance.choice([0, 1, 4])},
        ])  # fmt: skip
        await self._do("PATCH", f"/work_pools/{self.chance.choice(POOLS)}", body)

    # Deployments

    def _schedule(self, slug: str | None, every_s: float = 0.0) -> Fields:
        """A schedule to make, or what a change of one writes."""
        self._changes += 1
        every_s = every_s or self.world.plan.unit_s * self.chance.choice([1, 5, 20])
        now = self.world.wall_ns() // 1000
        fields = {
            "schedule": timetables.draw(self.chance, every_s, now),
            "active": self.chance.random() < 0.85,
            "parameters": {"change": self._changes},
        }
        return fields if slug is None else {**fields, "slug": slug}

    def _schedules(self) -> list[Fields]:
        has_slugs = self.chance.random() < 0.5
        numbers = range(self.chance.choice([0, 1, 2, 2]))
        return [self._schedule(f"s{number}" if has_slugs else None) for number in numbers]

    async def _deploy(self, name: str) -> None:
        place: Fields = {}
        if self.chance.random() < 0.75:
            queue = self.chance.choice(QUEUES)
            place = {"work_pool_name": self.chance.choice(POOLS), "work_queue_name": queue}
        limit: Fields = {}
        if self.chance.random() < 0.4:
            strategy = self.chance.choice(["ENQUEUE", "CANCEL_NEW"])
            options = {"collision_strategy": strategy, "grace_period_seconds": 60}
            slots = self.chance.randint(1, 2)
            limit = {"concurrency_limit": slots, "concurrency_options": options}
        self._bodies[name] = {"name": name, "flow_id": self._flow_id, **place, **limit}
        await self._upsert(name)

    async def _upsert(self, name: str) -> None:
        label = self.chance.choice(missed.POLICIES)
        self._changes += 1
        body = {
            **self._bodies[name],
            "labels": {} if label is None else {missed.LABEL: label},
            "tags": [f"change {self._changes}"],
            "paused": self.chance.random() < 0.1,
            "schedules": self._schedules(),
        }
        deployment = await self._do("POST", "/deployments/", body)
        self._ids[name] = id_ = deployment["id"]
        limit = body.get("concurrency_limit")
        self.world.deployments[id_] = (body.get("work_pool_name"), limit)
        if not self._is_murky():
            self._known[name] = _shown(deployment)

    async def _add(self, name: str) -> None:
        await self._do("POST", f"{self._path(name)}/schedules", [self._schedule(None)])
        self._known.pop(name, None)

    async def _patch_schedule(self, name: str) -> None:
        schedule_id = await self._pick(name)
        if schedule_id is None:
            return
        body = self._schedule(None)
        if self.chance.random() < 0.3:
            del body["schedule"]
        await self._do("PATCH", f"{self._path(name)}/schedules/{schedule_id}", body)
        self._known.pop(name, None)

    async def _drop_schedule(self, name: str) -> None:
        schedule_id = await self._pick(name)
        if schedule_id is not None:
            await self._do("DELETE", f"{self._path(name)}/schedules/{schedule_id}")
            self._known.pop(name, None)

    async def _pause(self, name: str) -> None:
        await self._do("POST", f"{self._path(name)}/pause_deployment")
        self._know(name, paused=True)

    async def _resume(self, name: str) -> None:
        await self._do("POST", f"{self._path(name)}/resume_deployment")
        self._know(name, paused=False)

    async def _patch(self, name: str) -> None:
        self._changes += 1
        paused = self.chance.random() < 0.2
        body: Fields = {"tags": [f"change {self._changes}"], "paused": paused}
        if self.chance.random() < 0.6:
            body["schedules"] = self._schedules()
        await self._do("PATCH", self._path(name), body)
        self._known.pop(name, None)

    async def _delete(self, name: str) -> None:
        if self.chance.random() < 0.5:
            await self._do("DELETE", self._path(name))
            self._known.pop(name, None)
            await self.think()
            await self._upsert(name)

    async def _race(self, name: str) -> None:
        """Several changes at once, some while the scheduler has read the plan of an earlier one."""
        self._is_racing = True
        async with trio.open_nursery() as nursery:
            for change in self.chance.choices(RACING, k=self.chance.randint(3, 6)):
                nursery.start_soon(getattr(self, f"_{change}"), name)
        self._is_racing = False
        self._known.pop(name, None)

    async def travel(self) -> None:
        if not self._is_racing:
            await super().travel()
            return
        if self.chance.getrandbits(1):
            await trio.sleep(self.chance.uniform(0, GATHER_S))
            return
        with trio.move_on_after(2 * GATHER_S):
            await self.world.thread_has_read.wait()

    # What is there

    def _path(self, name: str) -> str:
        return f"/deployments/{self._ids[name]}"

    async def _pick(self, name: str) -> str | None:
        status, schedules = await self.ask("GET", f"{self._path(name)}/schedules")
        assert status in (200, 404), (status, schedules)
        ids = [schedule["id"] for schedule in schedules] if status == 200 else []
        return self.chance.choice(ids) if ids else None

    async def _do(self, method: str, path: str, body: Any = None) -> Any:
        """A change; what is not there any more, or already, is no error."""
        copies_before = self.copies_sent
        status, answer = await self.ask(method, path, body)
        if self.copies_sent > copies_before:
            self._murky_until_s = trio.current_time() + 6 * self.world.plan.pace_s
        if status not in (200, 201, 204, 404, 409, 422):
            raise Wrong(f"{method} {path} was answered {status}: {answer}")
        if status in (404, 409, 422) and method == "POST" and path == "/deployments/":
            raise Wrong(f"a deployment was answered {status}: {answer}")
        return answer

    def _is_murky(self) -> bool:
        """Whether a late copy may have changed, or may yet change, anything."""
        return trio.current_time() < self._murky_until_s

    def _know(self, name: str, *, paused: bool) -> None:
        if name in self._known:
            self._known[name] = (paused, self._known[name][1])

    async def _expect_known(self) -> None:
        """What was answered is still so."""
        if self._is_murky():
            self._known.clear()
        for name, known in list(self._known.items()):
            status, deployment = await self.ask("GET", self._path(name))
            if status != 200 or _shown(deployment) != known:
                raise Wrong(f"deployment {name} was {known}, and is {status} {deployment}")

    async def _slow_down(self) -> None:
        """Let there be few runs from now on, and let all that wait be taken."""
        for pool in POOLS:
            await self._do(
                "PATCH", f"/work_pools/{pool}", {"is_paused": False, "concurrency_limit": 5}
            )
            for queue in QUEUES:
                body = {"is_paused": False, "concurrency_limit": None}
                await self._do("PATCH", f"/work_pools/{pool}/queues/{queue}", body)
        status, found = await self.ask("POST", "/deployments/filter", {})
        assert status == 200, found
        for deployment in found:
            if deployment["name"] in self._bodies:
                self._ids[deployment["name"]] = deployment["id"]
                slow = self._schedule(None, every_s=self.world.plan.settle_s / 3)
                schedules = [slow] if self.chance.random() < 0.7 else []
                path = f"/deployments/{deployment['id']}"
                for schedule in deployment["schedules"]:
                    await self._do("DELETE", f"{path}/schedules/{schedule['id']}")
                if schedules:
                    await self._do("POST", f"{path}/schedules", schedules)


def _shown(deployment: Fields) -> tuple[bool, list[str]]:
    schedules = [str((each["schedule"], each["active"])) for each in deployment["schedules"]]
    return deployment["paused"], sorted(schedules)
