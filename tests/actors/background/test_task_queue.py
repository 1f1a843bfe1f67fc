"""Who is given which background run, and when."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import pytest
import trio
from task_world import World, nothing, running, taken
from trio.testing import wait_all_tasks_blocked

from lictor.actors import task_queue
from lictor.schema.commands import task_runs as commands
from lictor.schema.errors import Unavailable


async def names(world: World, *keys: str, count: int) -> list[str]:
    """The names of the next `count` runs that a worker takes and acknowledges."""
    found = []
    with world.queue.subscribe(keys, "w") as subscription:
        for _ in range(count):
            found.append((await taken(subscription))["name"])
            subscription.acknowledge()
        assert await nothing(subscription)
    return found


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


async def test_the_queue_is_there_after_a_restart(tmp_path: Path, autojump_clock: object) -> None:
    async with running(tmp_path) as world:
        for name in ("held", "on its way", "waiting"):
            await world.schedule(name)
        with (
            world.queue.subscribe(["task"], "w1") as first,
            world.queue.subscribe(["task"], "w2") as second,
        ):
            await taken(first)
            first.acknowledge()
            await taken(second)
    async with running(tmp_path, task_hold_s=77) as world:
        started = trio.current_time()
        with world.queue.subscribe(["task"], "w3") as third:
            for name in ("on its way", "waiting", "held"):
                assert (await taken(third))["name"] == name
                third.acknowledge()
        assert trio.current_time() - started == pytest.approx(77)


async def test_what_was_begun_in_time_is_not_delivered_again_after_a_restart(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with running(tmp_path) as world:
        run = await world.schedule("one")
        with world.queue.subscribe(["task"], "w1") as first:
            await taken(first)
            first.acknowledge()
    async with running(tmp_path) as world:
        await world.begin(run.id)
        await trio.sleep(world.settings.task_hold_s * 2)
        assert await names(world, "task", count=0) == []


async def test_holders_of_an_earlier_start_are_not_mistaken_for_new_ones(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with running(tmp_path) as world:
        await world.schedule("old")
        with world.queue.subscribe(["task"], "w1") as first:
            await taken(first)
            first.acknowledge()
    async with running(tmp_path, task_hold_s=60) as world:
        await world.schedule("new")
        with world.queue.subscribe(["task"], "w2") as second:
            assert (await taken(second))["name"] == "new"
            second.acknowledge()
            await trio.sleep(61)
            assert world.rows() == [("old", 0, False), ("new", 2, True)]


@pytest.mark.parametrize(
    ("state", "limits"),
    [
        (None, {"task_queue_scheduled_max": 2}),
        ("AwaitingRetry", {"task_queue_retry_max": 2}),
    ],
)
async def test_a_full_queue_refuses_before_anything_is_written(
    tmp_path: Path, autojump_clock: object, state: str | None, limits: dict[str, int]
) -> None:
    async with running(tmp_path, **limits) as world:
        for name in ("one", "two"):
            await world.schedule(name, state=state)
        with pytest.raises(Unavailable) as refusal:
            await world.schedule("three", state=state)
        assert refusal.value.retry_after_s == 10
        await world.schedule("three", "another task", state=state)
        assert world.readers.inline(lambda tx: tx.one("SELECT count(*) FROM task_run")) == (3,)
        with world.queue.subscribe(["task"], "w") as subscription:
            await taken(subscription)
            subscription.acknowledge()
            await wait_all_tasks_blocked()
            await world.schedule("four", state=state)


async def test_a_store_that_refuses_is_told_later_who_holds_what(
    world: World, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.schedule("one")
    await world.schedule("two")
    write = world.journal.write

    async def refuse(job: Any) -> Any:
        raise Unavailable("The disk is full.")

    with world.queue.subscribe(["task"], "w1") as first:
        await taken(first)
        monkeypatch.setattr(world.journal, "write", refuse)
        first.acknowledge()
        with world.queue.subscribe(["task"], "w2") as second:
            assert (await taken(second))["name"] == "two"
            await trio.sleep(10)
        with world.queue.subscribe(["task"], "w3") as third:
            assert await nothing(third)
            monkeypatch.setattr(world.journal, "write", write)
            assert (await taken(third))["name"] == "two"
            assert world.rows() == [("one", 2, True), ("two", 0, False)]


async def test_a_store_that_cannot_be_read_delivers_later(
    world: World, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    inline = world.readers.inline

    def fail(query: object) -> None:
        raise Unavailable("The disk failed.")

    got: list[str] = []

    async def work() -> None:
        with world.queue.subscribe(["task"], "w1") as first:
            got.append((await taken(first))["name"])

    nursery.start_soon(work)
    await wait_all_tasks_blocked()
    monkeypatch.setattr(world.readers, "inline", fail)
    await world.schedule("one")
    await trio.sleep(10)
    assert got == []
    with world.queue.subscribe(["task"], "w2") as second, pytest.raises(Unavailable):
        await second.take()
    monkeypatch.setattr(world.readers, "inline", inline)
    await trio.sleep(2)
    assert got == ["one"]


async def test_a_run_that_no_client_could_take_stands_in_nobodys_way(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = {"x": [{"input_type": "parameter", "name": "y" * 1024 * 1024}]}
    await world.schedule("large", task_inputs=inputs)
    await world.schedule("small")
    with caplog.at_level(logging.DEBUG, "lictor.observe"):
        assert await names(world, "task", count=1) == ["small"]
    assert "lictor.task_queue.run.refuse" in caplog.messages
    assert [name for name, _, _ in world.rows()] == ["small"]


async def test_only_so_many_workers_are_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "SUBSCRIBERS_MAX", 1)
    with (
        world.queue.subscribe(["task"], "w1"),
        pytest.raises(Unavailable),
        world.queue.subscribe(["task"], "w2"),
    ):
        pass
    with world.queue.subscribe(["task"], "w3"):
        pass


async def test_what_is_dry_is_forgotten_before_it_is_too_much(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "DRY_KEYS_MAX", 2)
    with world.queue.subscribe("abcde", "w1") as subscription:
        assert await nothing(subscription)
        await world.schedule("one", "a")
        assert (await taken(subscription))["name"] == "one"


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


async def test_a_stopping_queue_takes_no_more_workers(world: World) -> None:
    world.queue.close()
    with pytest.raises(Unavailable), world.queue.subscribe(["task"], "w"):
        pass


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
