"""What is looked at between commits and at the end: are the next runs there, and is who was silent
known to be silent?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from simulation.takers import PoolWorker
from simulation.timetables import SECOND, stamp_of
from simulation.world import World
from simulation.wrong import Wrong


async def watch(world: World) -> None:
    """Look at the schedules soon after each change and each start, and now and then."""
    if not world.plan.planners:
        return
    chance, chronos = world.chronos_chance, world.chronos
    looked_s, began = -1.0, None
    while not world.is_over:
        await world.up()
        server, now_s = world.server, trio.current_time()
        if server is None:
            continue
        if server is not began:
            began = server
        elif chronos.changed_at_s <= looked_s:
            rest_s = 10 * world.plan.unit_s if world.planning else world.plan.slow_poll_s
            with trio.move_on_after(chance.expovariate(1 / rest_s)):
                await world.schedules_changed.wait()
            world.schedules_changed = trio.Event()
        looked_s = max(now_s, chronos.changed_at_s)
        await trio.sleep(chronos.slack_s + 0.01)
        if world.server is server and not server.disk.is_dead:
            chronos.check(server.connection)
            world.missed.check()


def check_served(world: World, servants: Sequence[object]) -> None:
    """Those who beat and poll are there, and what was due long ago does not wait any more.

    Raises:
        Wrong: with what is not so.
    """
    assert world.server is not None
    execute = world.server.connection.execute
    world.chronos.check(world.server.connection)
    world.chronos.check_history()
    now_s, now = trio.current_time(), world.wall_ns() // 1000
    sql = "SELECT w.status, p.status FROM worker w JOIN work_pool p ON p.id = w.work_pool_id"
    for worker in servants:
        if isinstance(worker, PoolWorker) and now_s < worker.online_until_s - 1:
            found = execute(f"{sql} WHERE w.name = ?", (worker.name,)).fetchall()
            if found != [("ONLINE", "READY")]:
                raise Wrong(f"{worker.name} has sent heartbeats, and it and its pool are {found}")
    long_ago = now - round(world.plan.settle_s * 0.8) * SECOND
    for run_id, run in world.chronos.waiting.items():
        if run.due < long_ago and run.deployment_id in world.deployments:
            raise Wrong(f"run {run_id} starves since {stamp_of(run.due)}: {run}")


async def check_unserved(world: World) -> None:
    """Once nobody beats or polls any more, nobody is taken to be there.

    Raises:
        Wrong: with who is.
    """
    if world.plan.planners:
        settings = world.settings
        beats_s = world.plan.slow_poll_s * 1.5 * settings.worker_missed_heartbeats
        await trio.sleep(max(beats_s, settings.work_queue_polled_s, settings.deployment_polled_s))
        await trio.sleep(world.plan.set_back_s + 120)
    await world.up()
    assert world.server is not None
    for table, gone in _GONE.items():
        rows: list[Any] = world.server.connection.execute(
            f"SELECT name, status FROM {table} WHERE status = ?", (gone,)
        ).fetchall()
        if rows:
            raise Wrong(f"nobody is there any more, and of {table} are {gone}: {rows}")


_GONE = {"worker": "ONLINE", "work_pool": "READY", "work_queue": "READY", "deployment": "READY"}
