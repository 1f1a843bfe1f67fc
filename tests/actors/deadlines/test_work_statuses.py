"""Work statuses: workers that fall silent, pools without workers, queues that nobody polls."""

from __future__ import annotations

from functools import partial

import trio
from deadline_world import World, keeping
from trio.testing import MockClock

from lictor.actors.deadlines import RECHECK_S
from lictor.actors.work_statuses import work_queue_readiness, worker_presence
from lictor.schema.commands import work_pools, work_queues, workers
from lictor.schema.wire.work_pools import WorkPoolCreate
from lictor.schema.wire.workers import Heartbeat

SLACK_S = 0.5
"""Looks at the index are gathered for a tenth of a second."""


async def make_pool(world: World) -> str:
    """A pool called `pool`; the id of its queue."""
    body = WorkPoolCreate(name="pool", type="process")
    job = partial(work_pools.create, body=body, mint=world.mint, tells_status=True)
    return (await world.write(job)).default_queue_id


async def beat(world: World, name: str = "worker", interval_s: int | None = None) -> None:
    body = Heartbeat(name=name, heartbeat_interval_seconds=interval_s)
    job = partial(
        workers.beat, work_pool_name="pool", body=body, mint=world.mint, settings=world.settings
    )
    await world.write(job)


async def poll(world: World, queue_id: str) -> None:
    await world.write(lambda tx: work_queues.mark_polled(tx, [queue_id], world.mint))


def status(world: World, table: str) -> str:
    row = world.readers.inline(lambda tx: tx.one(f"SELECT status FROM {table}"))
    assert row is not None
    found: str = row[0]
    return found


def told(world: World, name: str) -> int:
    """How many events of this name there are."""
    row = world.readers.inline(
        lambda tx: tx.one(
            "SELECT count(*) FROM event e JOIN event_name n ON n.key = e.name WHERE n.name = ?",
            (name,),
        )
    )
    assert row is not None
    number: int = row[0]
    return number


async def test_a_silent_worker_is_offline_at_its_deadline_and_its_pool_not_ready(
    world: World, autojump_clock: MockClock
) -> None:
    await make_pool(world)
    async with keeping(worker_presence(world.journal, world.readers, world.clock).run):
        await beat(world)
        await trio.sleep(90 - SLACK_S)
        assert (status(world, "worker"), status(world, "work_pool")) == ("ONLINE", "READY")
        await trio.sleep(2 * SLACK_S)
        assert (status(world, "worker"), status(world, "work_pool")) == ("OFFLINE", "NOT_READY")
        # Once when the pool was made, once now.
        assert told(world, "prefect.work-pool.not-ready") == 2


async def test_a_worker_that_goes_on_beating_stays_online(
    world: World, autojump_clock: MockClock
) -> None:
    await make_pool(world)
    async with keeping(worker_presence(world.journal, world.readers, world.clock).run):
        for _ in range(20):
            await beat(world)
            await trio.sleep(80)
            assert status(world, "worker") == "ONLINE"
        assert told(world, "prefect.work-pool.not-ready") == 1


async def test_a_shorter_interval_is_a_nearer_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    await make_pool(world)
    async with keeping(worker_presence(world.journal, world.readers, world.clock).run):
        await beat(world, interval_s=1000)
        await trio.sleep(1)
        await beat(world, interval_s=2)
        await trio.sleep(6 + SLACK_S)
        assert status(world, "worker") == "OFFLINE"


async def test_who_fell_silent_while_the_server_was_down_is_offline_at_once(
    world: World, autojump_clock: MockClock
) -> None:
    queue_id = await make_pool(world)
    await beat(world)
    await poll(world, queue_id)
    await trio.sleep(500)
    async with (
        keeping(worker_presence(world.journal, world.readers, world.clock).run),
        keeping(work_queue_readiness(world.journal, world.readers, world.clock).run),
    ):
        await trio.sleep(SLACK_S)
        assert status(world, "worker") == "OFFLINE"
        assert status(world, "work_queue") == "NOT_READY"


async def test_a_queue_is_not_ready_a_minute_after_the_last_poll(
    world: World, autojump_clock: MockClock
) -> None:
    queue_id = await make_pool(world)
    async with keeping(work_queue_readiness(world.journal, world.readers, world.clock).run):
        for _ in range(5):
            await poll(world, queue_id)
            await trio.sleep(50)
        await poll(world, queue_id)
        await trio.sleep(60 - SLACK_S)
        assert status(world, "work_queue") == "READY"
        await trio.sleep(2 * SLACK_S)
        assert status(world, "work_queue") == "NOT_READY"
        assert told(world, "prefect.work-queue.not-ready") == 1
        await poll(world, queue_id)
        assert told(world, "prefect.work-queue.ready") == 2


async def test_a_clock_that_jumps_ahead_is_noticed(
    world: World, autojump_clock: MockClock
) -> None:
    queue_id = await make_pool(world)
    async with keeping(work_queue_readiness(world.journal, world.readers, world.clock).run):
        await poll(world, queue_id)
        await trio.sleep(1)
        world.offset_s = 3600
        await trio.sleep(RECHECK_S + SLACK_S)
        assert status(world, "work_queue") == "NOT_READY"
