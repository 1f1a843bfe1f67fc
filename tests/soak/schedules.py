"""Measures schedules: `make measure-schedules` (ten minutes), on a real `lictor serve`, over HTTP.

Handing out   from the time a run is due until polls of workers and of runners give it out.
Idle          what the processor does for schedules that are not due.
Changes       from a PATCH, a pause and a delete until the runs are right; and how long others wait
              for a state while all schedules are to be filled at once.

It asserts that the runs are right, and prints the times: those are the machine's as well.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import trio
from crash.load import Acknowledged, Http, connect
from crash.process import Lictor, lictor

CLIENTS = 8
POOL = "measured"
DUE_TIMES = 100
DUE_WITHIN_S = 20.0
OTHER_RUNS = 5_000
POLL_EVERY_S = 0.02
SCHEDULES_OF_A_DEPLOYMENT = 10
IDLE_SCHEDULES = 5_000
CHANGED_SCHEDULES = 10_000
RUNS_MIN = 3
"""So many runs each schedule has ahead at the least, as `scheduler_runs_min` says."""
ROUNDS = 10
"""How often a change is made and waited for."""
LOOK_EVERY_S = 0.005
HOUR = 3600.0
DAY = 24 * HOUR

Find = Callable[[], Awaitable[bool]]


class Api:
    """One connection; whatever is refused is a fault of this program."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else msgspec.json.encode(body)
        status, answer = await self._http.send(path, data, method)
        assert status < 300, (method, path, status, answer)
        return msgspec.json.decode(answer) if answer else None

    async def scheduled(self, deployment_id: str) -> list[datetime]:
        """When the runs of a deployment are due that its schedules have made."""
        chosen = {
            "deployments": {"id": {"any_": [deployment_id]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        rows = await self.ask("POST", "/flow_runs/filter", chosen)
        return [datetime.fromisoformat(row["expected_start_time"]) for row in rows]

    async def scheduled_count(self) -> int:
        chosen = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        count: int = await self.ask("POST", "/flow_runs/count", chosen)
        return count


async def api(server: Lictor) -> Api:
    return Api(Http(await connect(server.port), Acknowledged()))


def every(seconds: float, anchor: datetime | None = None) -> dict[str, Any]:
    """An interval schedule; without an anchor it begins at some time of an hour."""
    anchor = anchor or datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(3600))
    return {"interval": seconds, "anchor_date": anchor.isoformat()}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def row(what: str, seconds: list[float]) -> None:
    """A line of the table, in milliseconds."""
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    figures = "".join(f"{1000 * each:>10.1f}" for each in (p50, p99, max(seconds)))
    print(f"{what:<58}{len(seconds):>6}{figures}", flush=True)


async def together(server: Lictor, bodies: list[Any], path: str) -> list[Any]:
    """POST each of `bodies` by several clients at once; the answers, in their order."""
    answers: list[Any] = [None] * len(bodies)
    left = iter(enumerate(bodies))

    async def client() -> None:
        connection = await api(server)
        for index, body in left:
            answers[index] = await connection.ask("POST", path, body)

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)
    return answers


async def until(find: Find) -> float:
    """Ask until it is found; how long that took, in seconds."""
    start = trio.current_time()
    while True:
        if await find():
            return trio.current_time() - start
        await trio.sleep(LOOK_EVERY_S)


async def until_filled(server: Lictor, schedules: int) -> None:
    """Until every schedule has runs and no more are made."""
    connection = await api(server)
    before = -1
    while (count := await connection.scheduled_count()) != before or count < schedules:
        before = count
        await trio.sleep(2)


# Handing out


def at(moment: datetime, **more: Any) -> dict[str, Any]:
    """The body of a run that is to start at `moment`."""
    details = {"scheduled_time": moment.isoformat()}
    return {"state": {"type": "SCHEDULED", "state_details": details}, **more}


async def poll(
    connection: Api, path: str, body: dict[str, Any], due: dict[str, datetime]
) -> list[float]:
    """Take runs as they are handed out; the delay of each, in seconds."""
    delays: list[float] = []
    while due:
        now = datetime.now(UTC)
        found = await connection.ask("POST", path, {**body, "scheduled_before": now.isoformat()})
        seen = datetime.now(UTC)
        for each in found:
            run = each.get("flow_run", each)
            delay = (seen - due.pop(run["id"])).total_seconds()
            assert delay >= 0, "a run was handed out before its time"
            delays.append(delay)
            pending = {"state": {"type": "PENDING"}}
            await connection.ask("POST", f"/flow_runs/{run['id']}/set_state", pending)
        await trio.sleep(POLL_EVERY_S)
    return delays


async def measure_handing_out(server: Lictor) -> None:
    first = await api(server)
    flow = (await first.ask("POST", "/flows/", {"name": "measured"}))["id"]
    await first.ask("POST", "/work_pools/", {"name": POOL, "type": "process"})
    body = {"name": "pooled", "flow_id": flow, "work_pool_name": POOL}
    pooled = (await first.ask("POST", "/deployments/", body))["id"]
    served = (await first.ask("POST", "/deployments/", {"name": "served", "flow_id": flow}))["id"]
    later = datetime.now(UTC) + timedelta(days=1)
    for id_ in (pooled, served):
        path = f"/deployments/{id_}/create_flow_run"
        others = [at(later + timedelta(seconds=number)) for number in range(OTHER_RUNS // 2)]
        await together(server, others, path)
    begin = datetime.now(UTC) + timedelta(seconds=5)
    places = {
        "a worker's poll": (pooled, f"/work_pools/{POOL}/get_scheduled_flow_runs", {}),
        "a runner's poll": (
            served,
            "/deployments/get_scheduled_flow_runs",
            {"deployment_ids": [served]},
        ),
    }
    delays: dict[str, list[float]] = {}

    async def one(name: str, connection: Api, due: dict[str, datetime]) -> None:
        _, path, body = places[name]
        delays[name] = await poll(connection, path, body, due)

    async with trio.open_nursery() as nursery:
        for name, (id_, _, _) in places.items():
            times = [
                begin + timedelta(seconds=random.uniform(0, DUE_WITHIN_S)) for _ in range(DUE_TIMES)
            ]
            made = await together(
                server, [at(time) for time in times], f"/deployments/{id_}/create_flow_run"
            )
            due = {run["id"]: time for run, time in zip(made, times, strict=True)}
            nursery.start_soon(one, name, await api(server), due)
    for name in places:
        row(f"due until {name} gives it out, {OTHER_RUNS} other runs", delays[name])


# Idle


async def deploy(server: Lictor, schedules: int) -> list[str]:
    """Deployments with `schedules` hourly and daily schedules between them; their ids."""
    connection = await api(server)
    flow = (await connection.ask("POST", "/flows/", {"name": "measured"}))["id"]
    bodies = [
        {
            "name": f"d{number}",
            "flow_id": flow,
            "schedules": [
                {"schedule": every(HOUR if each % 2 else DAY), "slug": f"s{each}"}
                for each in range(SCHEDULES_OF_A_DEPLOYMENT)
            ],
        }
        for number in range(schedules // SCHEDULES_OF_A_DEPLOYMENT)
    ]
    made = await together(server, bodies, "/deployments/")
    await until_filled(server, schedules)
    return [each["id"] for each in made]


def cpu_s(server: Lictor) -> float:
    """Processor time of the process so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure_idle(server: Lictor, idle_s: float) -> None:
    await deploy(server, IDLE_SCHEDULES)
    before = cpu_s(server)
    await trio.sleep(idle_s)
    share = (cpu_s(server) - before) / idle_s
    memory = server.rss_bytes >> 20
    print(
        f"idle with {IDLE_SCHEDULES} daily and hourly schedules, {idle_s:g} s: "
        f"{share:.2%} of a processor, {memory} MiB",
        flush=True,
    )


# Changes


class Changes:
    """One deployment with one schedule among all the others; changes it and waits for its runs."""

    def __init__(self, connection: Api, flow: str) -> None:
        self._connection = connection
        self._flow = flow

    async def all(self) -> dict[str, list[float]]:
        """Seconds from the answer to each change until the runs are right."""
        found: dict[str, list[float]] = {"made": [], "PATCH": [], "pause": [], "delete": []}
        for number in range(ROUNDS):
            for name, seconds in (await self._round(number)).items():
                found[name].append(seconds)
        return found

    async def _round(self, number: int) -> dict[str, float]:
        ask = self._connection.ask
        anchor = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
        schedule = {"schedule": every(HOUR, anchor)}
        body = {"name": f"changed-{number}", "flow_id": self._flow, "schedules": [schedule]}
        made = await ask("POST", "/deployments/", body)
        id_, path = made["id"], f"/deployments/{made['id']}"
        found = {"made": await until(self._runs_are(id_, anchor, HOUR))}
        anchor += timedelta(minutes=7)
        change = {"schedule": every(2 * HOUR, anchor)}
        await ask("PATCH", f"{path}/schedules/{made['schedules'][0]['id']}", change)
        found["PATCH"] = await until(self._runs_are(id_, anchor, 2 * HOUR))
        await ask("POST", f"{path}/pause_deployment")
        found["pause"] = await until(self._runs_are(id_, None, 0))
        await ask("POST", f"{path}/resume_deployment")
        await until(self._runs_are(id_, anchor, 2 * HOUR))
        await ask("DELETE", path)
        found["delete"] = await until(self._runs_are(id_, None, 0))
        return found

    def _runs_are(self, deployment_id: str, anchor: datetime | None, interval_s: float) -> Find:
        """Whether the runs are those of the schedule, from `anchor` on; without one, none."""

        async def find() -> bool:
            due = await self._connection.scheduled(deployment_id)
            if anchor is None:
                return not due
            step = timedelta(seconds=interval_s)
            return bool(due) and due == [anchor + number * step for number in range(len(due))]

        return find


async def change_states(connection: Api, flow: str, seconds: list[float]) -> None:
    """Another client: sets one state after the other and notes how long each took."""
    run = (await connection.ask("POST", "/flow_runs/", {"flow_id": flow}))["id"]
    while True:
        for type_ in ("PENDING", "RUNNING"):
            start = trio.current_time()
            body = {"state": {"type": type_}, "force": True}
            await connection.ask("POST", f"/flow_runs/{run}/set_state", body)
            seconds.append(trio.current_time() - start)
            await trio.sleep(LOOK_EVERY_S)


async def at_once(server: Lictor, deployments: list[str], action: str) -> None:
    """Pause or resume all deployments, as fast as it goes."""
    left = iter(deployments)

    async def client() -> None:
        connection = await api(server)
        for id_ in left:
            await connection.ask("POST", f"/deployments/{id_}/{action}_deployment")

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)


async def measure_single_changes(server: Lictor, flow: str) -> None:
    seconds: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change_states, await api(server), flow, seconds)
        for name, taken in (await Changes(await api(server), flow).all()).items():
            row(f"{name} until the runs are right, {CHANGED_SCHEDULES} schedules", taken)
        nursery.cancel_scope.cancel()
    row("another client's state meanwhile", seconds)


async def measure_all_at_once(server: Lictor, flow: str, deployments: list[str]) -> None:
    """Pause all schedules, then resume them: each is due at once, and has all its runs to get."""
    connection = await api(server)
    least = RUNS_MIN * CHANGED_SCHEDULES
    for action, is_right in (
        ("pause", lambda count: count == 0),
        ("resume", lambda count: count >= least),
    ):

        async def find(is_right: Callable[[int], bool] = is_right) -> bool:
            return is_right(await connection.scheduled_count())

        seconds: list[float] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change_states, await api(server), flow, seconds)
            start = trio.current_time()
            await at_once(server, deployments, action)
            await until(find)
            taken = trio.current_time() - start
            nursery.cancel_scope.cancel()
        print(f"{action} of all {CHANGED_SCHEDULES} until the runs are right: {taken:.1f} s")
        row("another client's state meanwhile", seconds)


async def measure_changes(server: Lictor) -> None:
    deployments = await deploy(server, CHANGED_SCHEDULES)
    connection = await api(server)
    flow = (await connection.ask("POST", "/flows/", {"name": "measured"}))["id"]
    await measure_single_changes(server, flow)
    await measure_all_at_once(server, flow, deployments)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--idle-s", type=float, default=60.0)
    idle_s = words.parse_args().idle_s
    print(f"{'milliseconds':<58}{'of':>6}{'p50':>10}{'p99':>10}{'max':>10}", flush=True)
    for measure in (measure_handing_out, partial(measure_idle, idle_s=idle_s), measure_changes):
        with tempfile.TemporaryDirectory() as home, lictor(Path(home)) as server:
            trio.run(measure, server)


if __name__ == "__main__":
    main()
