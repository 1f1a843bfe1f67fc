"""One history: its seed says everything, and the same seed always gives the same one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import NamedTuple

import trio
import trio.testing
from trio._core import _run as scheduler

from lictor.schema.rules import json_schema
from simulation.clients import Client, Intruder, Runner, Shipper
from simulation.deserters import Deserter
from simulation.holders import Holder, Submitter, Worker
from simulation.plan import Fault, Plan, squeezed
from simulation.planners import Planner
from simulation.streams import EventFollower, Follower, Reporter, Tail
from simulation.takers import workers_of
from simulation.watching import check_served, check_unserved, watch
from simulation.world import World
from simulation.wrong import Wrong

LIVENESS_S = 6 * 3600.0
"""How long after the last fault the clients may still need, besides their own thinking."""


class Outcome(NamedTuple):
    """What a history came to. `failure` is empty when every promise was kept."""

    seed: int
    digest: str
    notes: int
    commits: int
    crashes: int
    virtual_s: float
    failure: str


def simulate(seed: int) -> Outcome:
    """Run the history of `seed`."""
    plan = Plan(seed)
    held: list[World] = []
    failure = ""
    # Tasks that can go on are taken in an order of their own, drawn from here.
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(f"scheduler {seed}")
    # A history that was ended by force has left its run behind.
    vars(scheduler.GLOBAL_RUN_CONTEXT).clear()
    # Loaded on a thread otherwise, and no thread has a place in a history.
    json_schema.load()
    with squeezed(plan.limits):
        try:
            clock = trio.testing.MockClock(autojump_threshold=0)
            trio.run(_history, plan, held, clock, clock=clock)
        except BaseException as error:
            leaves = list(_leaves(error))
            if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
                raise
            failure = "\n".join("".join(traceback.format_exception(leaf)) for leaf in leaves)
    if not held:
        return Outcome(seed, "", 0, 0, 0, 0.0, failure)
    world = held[0]
    if failure:
        failure = "\n".join([*world.notes, str(plan), failure])
    return Outcome(
        seed, world.digest, world.noted, world.commits, world.crashes, world.ended_at_s, failure
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


async def _history(plan: Plan, held: list[World], clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as network:
        world = World(plan, network)
        held.append(world)
        try:
            await _play(world, network, clock)
        finally:
            world.ended_at_s = trio.current_time()
        network.cancel_scope.cancel()


async def _play(world: World, network: trio.Nursery, clock: trio.testing.MockClock) -> None:
    plan = world.plan
    followers = list(_followers(world))
    servants = [
        *(Worker(world, f"worker-{number}") for number in range(plan.workers)),
        *workers_of(world),
    ]
    async with trio.open_nursery() as nursery:
        keeper = trio.Event()
        nursery.start_soon(_keep, world, keeper)
        nursery.start_soon(watch, world)
        for client in (*followers, *servants):
            nursery.start_soon(client.run)
        await _work_through(world, list(_workers(world)), clock)
        await trio.sleep(plan.settle_s)
        await world.up()
        assert world.server is not None
        world.oracles.check_settled(world.server.connection, world.now())
        check_served(world, servants)
        for follower in followers:
            follower.finish()
        for worker in servants:
            worker.scope.cancel()
        await trio.sleep(1)
        await check_unserved(world)
        assert world.server is not None
        world.is_over = True
        if world.chance.getrandbits(1):
            world.crash(power=True)
        else:
            world.server.stop.set()
        await keeper.wait()
        world.check_at_rest()


async def _keep(world: World, ended: trio.Event) -> None:
    await world.keep_server()
    ended.set()


async def _work_through(world: World, workers: list[Client], clock: trio.testing.MockClock) -> None:
    """Let the clients work, and faults happen meanwhile; then, without faults, to their ends."""
    at_work = {client.name: client for client in workers}
    within_s = LIVENESS_S + world.plan.pace_s * 2000
    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        for client in workers:
            nursery.start_soon(_work, client, at_work, ended)
        await _meddle(world, clock)
        world.is_calm = True
        with trio.move_on_after(within_s):
            await ended.wait()
        if at_work:
            raise Wrong(f"{within_s:g} s after the last fault these work: {sorted(at_work)}")


async def _work(client: Client, at_work: dict[str, Client], ended: trio.Event) -> None:
    await client.run()
    del at_work[client.name]
    if not at_work:
        ended.set()


def _workers(world: World) -> Iterator[Client]:
    plan = world.plan
    yield from (Runner(world, f"runner-{number}") for number in range(plan.runners))
    yield from (Reporter(world, f"reporter-{number}") for number in range(plan.reporters))
    yield from (Shipper(world, f"shipper-{number}") for number in range(plan.shippers))
    yield from (Deserter(world, f"deserter-{number}") for number in range(plan.deserters))
    yield from (Planner(world, f"planner-{number}") for number in range(plan.planners))
    yield from (Holder(world, f"holder-{number}") for number in range(plan.holders))
    yield from (Submitter(world, f"submitter-{number}") for number in range(plan.submitters))
    yield from (Intruder(world, f"intruder-{number}") for number in range(plan.intruders))


def _followers(world: World) -> Iterator[Follower]:
    plan = world.plan
    yield from (EventFollower(world, f"follower-{number}") for number in range(plan.followers))
    yield from (Tail(world, f"tail-{number}") for number in range(plan.tails))


async def _meddle(world: World, clock: trio.testing.MockClock) -> None:
    """Let the faults of the plan happen, one after the other."""
    for fault in world.plan.faults:
        await trio.sleep(fault.after_s)
        world.note("fault", fault.kind, f"{fault.amount:g}")
        await _happen(world, fault, clock)


async def _happen(world: World, fault: Fault, clock: trio.testing.MockClock) -> None:
    match fault.kind:
        case "power":
            world.crash(power=True)
        case "kill":
            world.crash(power=False)
        case "power inside a commit":
            world.disk.dies_in = int(fault.amount)
        case "power after a commit":
            world.crash_after_commits = int(fault.amount)
        case "stop":
            if world.server is not None:
                world.server.stop.set()
        case "full disk":
            with world.failing_disk():
                world.disk.is_full = True
                await trio.sleep(fault.amount)
                world.disk.is_full = False
        case "failing sync":
            world.has_failed_to_sync = True
            with world.failing_disk():
                world.disk.fails_sync = True
                await trio.sleep(fault.amount)
                world.disk.fails_sync = False
        case "wall clock" | "suspended":
            world.jump(lambda: world.set_wall_clock(fault.amount))
        case "stopped process":
            world.jump(lambda: clock.jump(fault.amount))
