"""Who is given which background run, and when."""

from __future__ import annotations

import random

import pytest
import trio
from task_world import World, names, nothing, taken
from trio.testing import wait_all_tasks_blocked

from lictor.actors import task_queue
from lictor.schema.commands import task_runs as commands


async def test_runs_of_a_task_are_delivered_in_the_order_of_their_scheduling(world: World) -> None:
    for name in "cab":
        await world.schedule(name)
    assert await names(world, "task", count=3) == ["c", "a", "b"]


async def test_retries_go_before_what_was_scheduled_earlier(world: World) -> None:
    await world.schedule("first")
    await world.schedule("retry", state="AwaitingRetry")
    await world.schedule("second")
    assert await names(world, "task", count=3) == ["retry", "first", "second"]


async def test_the_tasks_a_worker_names_first_go_first(world: World) -> None:
    for name, key in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "c")):
        await world.schedule(name, key)
    assert await names(world, "b", "a", "b", count=3) == ["2", "1", "3"]


async def test_a_worker_gets_the_whole_run(world: World) -> None:
    made = await world.schedule("one", tags=["x"])
    with world.queue.subscribe(["task"], "w") as subscription:
        run = await taken(subscription)
    assert run["id"] == made.id
    assert run["tags"] == ["x"]
    assert run["state"]["state_details"]["deferred"] is True
    assert run["state_type"] == "SCHEDULED"


async def test_a_run_that_is_scheduled_wakes_the_worker_that_has_waited_longest(
    world: World, nursery: trio.Nursery
) -> None:
    got: list[tuple[str, str]] = []

    async def work(client_id: str) -> None:
        with world.queue.subscribe(["other", "task"], client_id) as subscription:
            got.append((client_id, (await taken(subscription))["name"]))
            subscription.acknowledge()
            await trio.sleep_forever()

    for client_id in ("w1", "w2"):
        nursery.start_soon(work, client_id)
        await wait_all_tasks_blocked()
    for name in ("a", "b", "c"):
        await world.schedule(name)
        await wait_all_tasks_blocked()
    assert got == [("w1", "a"), ("w2", "b")]
    assert ("c", 2, False) in world.rows()
    nursery.cancel_scope.cancel()


async def test_a_woken_worker_that_takes_another_run_leaves_none_behind(
    world: World, nursery: trio.Nursery
) -> None:
    got: dict[str, str] = {}

    async def work(client_id: str, *keys: str) -> None:
        with world.queue.subscribe(keys, client_id) as subscription:
            got[client_id] = (await taken(subscription))["name"]
            await trio.sleep_forever()

    for client_id, keys in (("both", "ab"), ("a", "a"), ("b", "b")):
        nursery.start_soon(work, client_id, *keys)
        await wait_all_tasks_blocked()
    nursery.start_soon(world.schedule, "run of b", "b")
    nursery.start_soon(world.schedule, "run of a", "a")
    await wait_all_tasks_blocked()
    assert sorted(got.values()) == ["run of a", "run of b"]
    nursery.cancel_scope.cancel()


async def test_a_run_is_never_with_two_workers(world: World, autojump_clock: object) -> None:
    await world.schedule("one")
    with world.queue.subscribe(["task"], "w1") as first:
        await taken(first)
        with world.queue.subscribe(["task"], "w2") as second:
            assert await nothing(second)
            first.acknowledge()
            assert await nothing(second)
            await trio.sleep(80_000)
            assert await nothing(second)


async def test_what_a_worker_left_without_acknowledging_goes_to_the_next_first_of_all(
    world: World,
) -> None:
    await world.schedule("one")
    with world.queue.subscribe(["task"], "w1") as first:
        assert (await taken(first))["name"] == "one"
        await world.schedule("retry", state="AwaitingRetry")
    await wait_all_tasks_blocked()
    assert world.rows() == [("one", 0, False), ("retry", 1, False)]
    assert await names(world, "task", count=2) == ["one", "retry"]


async def test_what_a_worker_left_goes_at_once_to_one_that_waits(
    world: World, autojump_clock: object
) -> None:
    await world.schedule("one")
    with world.queue.subscribe(["task"], "w2") as second:
        with world.queue.subscribe(["task"], "w1") as first:
            await taken(first)
            assert await nothing(second)
        before = trio.current_time()
        assert (await taken(second))["name"] == "one"
        assert trio.current_time() == before


async def test_what_was_acknowledged_and_not_begun_goes_on_when_its_worker_has_gone(
    world: World,
    autojump_clock: object,
) -> None:
    await world.schedule("one")
    with world.queue.subscribe(["task"], "w1") as first:
        await taken(first)
        first.acknowledge()
        await trio.sleep(1000)
    left = trio.current_time()
    with world.queue.subscribe(["task"], "w2") as second:
        assert (await taken(second))["name"] == "one"
    assert trio.current_time() - left == pytest.approx(task_queue.GONE_S)


async def test_what_a_worker_has_begun_is_not_delivered_again(
    world: World, autojump_clock: object
) -> None:
    run = await world.schedule("one")
    with world.queue.subscribe(["task"], "w1") as first:
        await taken(first)
        first.acknowledge()
        await wait_all_tasks_blocked()
        assert world.rows() == [("one", 2, True)]
        await world.begin(run.id)
        assert world.rows() == []
    with world.queue.subscribe(["task"], "w2") as second:
        await trio.sleep(task_queue.GONE_S * 2)
        assert await nothing(second)


async def test_a_report_that_overtakes_the_acknowledgement_counts(
    world: World, autojump_clock: object
) -> None:
    run = await world.schedule("one")
    with world.queue.subscribe(["task"], "w1") as first:
        await taken(first)
        await world.begin(run.id)
        first.acknowledge()
    await trio.sleep(task_queue.GONE_S * 2)
    assert await names(world, "task", count=0) == []


@pytest.mark.parametrize("what", ["cancel", "delete", "undefer"])
async def test_a_run_that_is_no_longer_scheduled_and_deferred_is_not_delivered(
    world: World, what: str
) -> None:
    run = await world.schedule("one")
    await world.schedule("two")
    if what == "cancel":
        await world.set_state(run.id, "CANCELLED")
    elif what == "undefer":
        await world.set_state(run.id, "SCHEDULED")
    else:
        await world.write(lambda tx: commands.delete(tx, run.id))
    assert world.rows() == [("two", 2, False)]
    assert await names(world, "task", count=1) == ["two"]


async def test_a_run_that_is_scheduled_anew_goes_to_the_end(world: World) -> None:
    run = await world.schedule("one")
    await world.schedule("two")
    await world.set_state(run.id, "SCHEDULED", deferred=True)
    assert await names(world, "task", count=2) == ["two", "one"]


async def test_a_run_that_is_scheduled_anew_on_its_way_is_delivered_once_more_afterwards(
    world: World,
) -> None:
    run = await world.schedule("one")
    with (
        world.queue.subscribe(["task"], "w1") as first,
        world.queue.subscribe(["task"], "w2") as second,
    ):
        state = (await taken(first))["state_id"]
        await world.set_state(run.id, "SCHEDULED", deferred=True)
        assert await nothing(second)
        first.acknowledge()
        assert (await taken(second))["state_id"] != state


async def test_a_scheduled_time_does_not_delay_delivery(world: World) -> None:
    await world.schedule("later", details={"scheduled_time": "2199-01-01T00:00:00Z"})
    assert await names(world, "task", count=1) == ["later"]


async def test_a_worker_is_known_by_its_name_while_one_of_its_sockets_is_open(
    world: World,
) -> None:
    queue = world.queue
    with queue.subscribe(["a", "b"], "w1"), queue.subscribe(["c"], "w2"):
        with queue.subscribe(["b", "c"], "w1"):
            assert [(w.identifier, w.task_keys) for w in queue.workers([])] == [
                ("w1", ["a", "b", "c"]),
                ("w2", ["c"]),
            ]
        assert [(w.identifier, w.task_keys) for w in queue.workers(["b", "x"])] == [
            ("w1", ["a", "b"])
        ]
        assert queue.workers(["x"]) == []
    assert queue.workers([]) == []


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_workers_do_every_run_is_with_one_at_a_time_and_begun_once(
    world: World, autojump_clock: object, seed: int
) -> None:
    chance = random.Random(seed)
    keys = ["a", "b", "c"]
    held: set[str] = set()
    begun: list[str] = []
    all_runs = 60

    async def work(number: int) -> None:
        while len(begun) < all_runs:
            served = chance.sample(keys, chance.randint(1, 3))
            with world.queue.subscribe(served, f"w{number}") as subscription:
                while len(begun) < all_runs:
                    run = None
                    with trio.move_on_after(1):
                        run = await taken(subscription)
                    if run is None:
                        break
                    assert run["id"] not in held, "two workers have one run"
                    held.add(run["id"])
                    await trio.sleep(chance.random())
                    act = chance.choice(["begin", "begin", "leave", "die"])
                    if act == "begin":
                        subscription.acknowledge()
                        await trio.sleep(chance.random() * 20)
                        begun.append(run["id"])
                        await world.begin(run["id"])
                    elif act == "die":
                        subscription.acknowledge()
                    if act != "begin":
                        held.discard(run["id"])
                        break
            await trio.sleep(chance.random())

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(work, number)
        for number in range(all_runs):
            await world.schedule(str(number), chance.choice(keys))
            await trio.sleep(chance.random() * 0.3)
    assert len(set(begun)) == len(begun) == all_runs
    await wait_all_tasks_blocked()
    assert world.rows() == []
    assert world.queue._under_way == {}
    assert world.queue._waiting == {}
