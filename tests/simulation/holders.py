"""Clients that share: holders of leases on slots, and workers that share background tasks."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from lictor.actors.ingress.socket import Text
from simulation.clients import BACKOFF_S, Client, Dead
from simulation.sockets import SimulatedSocket
from simulation.world import Gone, World
from simulation.wrong import Wrong

LIMITS = {"narrow": 1, "wide": 3}
TASK_KEY = "background"
_LEASES = "/v2/concurrency_limits"


class Holder(Client):
    """Takes slots, renews its lease while it works, and gives them back, or forgets to.

    What it may believe to hold, from the grant's answer until it sends the release or its lease has
    surely ended, must never be more than there is, over all holders.
    """

    async def work(self) -> None:
        for name, limit in LIMITS.items():
            status, answer = await self.ask("POST", f"{_LEASES}/", {"name": name, "limit": limit})
            assert status in (201, 409), (status, answer)
        for _ in range(self.chance.randint(1, 4)):
            await self.think()
            await self.hold(self.chance.choice([["narrow"], ["wide"], ["narrow", "wide"]]))

    async def hold(self, names: list[str]) -> None:
        slots = 1 if "narrow" in names else self.chance.randint(1, 3)
        length_s = self.chance.choice([60.0, 90.0, 300.0])
        lease_id, until_s = await self.acquire(names, slots, length_s)
        beliefs = self.world.beliefs
        beliefs[self.name] = (names, slots, until_s)
        _check_beliefs(beliefs)
        while self.chance.random() < 0.6:
            await trio.sleep(length_s * 0.75)
            asked_s = trio.current_time()
            body = {"lease_duration": length_s}
            status, _ = await self.ask("POST", f"{_LEASES}/leases/{lease_id}/renew", body)
            if status == 410:
                break
            if trio.current_time() < until_s:
                until_s = asked_s + length_s
                beliefs[self.name] = (names, slots, until_s)
        await trio.sleep(self.chance.uniform(0, length_s / 10))
        del beliefs[self.name]
        if self.chance.random() < 0.7:
            status, _ = await self.ask(
                "POST", f"{_LEASES}/decrement-with-lease", {"lease_id": lease_id}
            )
            assert status == 204, status

    async def acquire(self, names: list[str], slots: int, length_s: float) -> tuple[str, float]:
        """The lease, and until when it surely lasts, by the monotonic clock."""
        body = {
            "names": names, "slots": slots, "mode": "concurrency", "lease_duration": length_s,
            "holder": {"type": "task_run", "id": self.new_id()},
        }  # fmt: skip
        while True:
            asked_s = trio.current_time()
            status, answer = await self.ask("POST", f"{_LEASES}/increment-with-lease", body)
            if status == 200:
                return answer["lease_id"], asked_s + length_s
            assert status == 423, (status, answer)
            await trio.sleep(self.world.retry_after_s)


def _check_beliefs(beliefs: dict[str, tuple[list[str], int, float]]) -> None:
    """At no moment do holders believe to hold more slots than there are."""
    now_s = trio.current_time()
    for name, limit in LIMITS.items():
        believed = {
            who: slots
            for who, (names, slots, until_s) in beliefs.items()
            if name in names and now_s < until_s
        }
        if sum(believed.values()) > limit:
            raise Wrong(f"of the {limit} slots of {name} these are held: {believed}")


class Submitter(Client):
    """Submits background tasks."""

    async def work(self) -> None:
        for number in range(self.chance.randint(1, 4)):
            await self.think()
            body = {
                "task_key": TASK_KEY, "dynamic_key": f"{self.name} {number}",
                "state": {"type": "SCHEDULED", "state_details": {"deferred": True}},
            }  # fmt: skip
            status, task_run = await self.ask("POST", "/task_runs/", body)
            assert status in (200, 201), (status, task_run)
            self.world.oracles.acknowledge("task run", [task_run["id"]])


class Worker(Client):
    """Takes background tasks off a socket and runs them; dies in the midst of it, and comes back.

    It never ends by itself: it is a part of what keeps the system alive. It does not die once it
    has begun with a task: that would stay as it is, and its late copies would run it again.
    """

    copies = False
    is_mortal = False

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.scope = trio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            await super().run()

    async def work(self) -> None:
        while True:
            try:
                socket = self.world.open_socket("/task_runs/subscriptions/scheduled")
            except Gone:
                await self.back_off()
                continue
            try:
                await self.serve(socket)
            except (Dead, trio.EndOfChannel):
                pass
            finally:
                self.world.delivered.pop(self.name, None)
                socket.leave()
            await trio.sleep(BACKOFF_S)

    async def serve(self, socket: SimulatedSocket) -> None:
        opening = {"type": "subscribe", "keys": [TASK_KEY], "client_id": self.name}
        socket.give(Text(msgspec.json.encode(opening)))
        while True:
            messages, _ = await socket.take()
            for task_run in messages:
                self.expect_alone(task_run["id"], socket)
                await self.think()
                if self.happens(0.1):
                    raise Dead
                socket.give(Text(b'{"type":"ack"}'))
                if self.happens(0.1):
                    raise Dead
                await self.execute(task_run["id"])
                del self.world.delivered[self.name]

    def expect_alone(self, task_run_id: str, socket: SimulatedSocket) -> None:
        """Nobody else who is connected, to the same life of the server, has this task."""
        delivered = self.world.delivered
        for name, (other_id, other) in delivered.items():
            if other_id == task_run_id and other.life is socket.life:
                raise Wrong(f"{task_run_id} was delivered to {name} and to {self.name}")
        delivered[self.name] = (task_run_id, socket)

    async def execute(self, task_run_id: str) -> None:
        pending = await self.propose(task_run_id, "PENDING")
        is_mine = pending["status"] == "ACCEPT" or not self.is_sure
        if not is_mine:
            self.world.note(self.name, "leaves", task_run_id, pending["status"])
            return
        await self.propose(task_run_id, "RUNNING")
        await self.think()
        await self.propose(task_run_id, "COMPLETED")

    async def propose(self, task_run_id: str, type_: str) -> dict[str, Any]:
        body = {"state": {"type": type_, "state_details": {"deferred": True}}}
        status, result = await self.ask("POST", f"/task_runs/{task_run_id}/set_state", body)
        assert status in (200, 201), (status, result)
        found: dict[str, Any] = result
        return found
