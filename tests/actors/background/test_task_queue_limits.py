"""The queue of background runs across restarts, at its limits, and on a store that fails."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from task_world import World, names, nothing, running, taken
from trio.testing import wait_all_tasks_blocked

from lictor.actors import task_queue
from lictor.schema.errors import Unavailable


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


async def test_a_stopping_queue_takes_no_more_workers(world: World) -> None:
    world.queue.close()
    with pytest.raises(Unavailable), world.queue.subscribe(["task"], "w"):
        pass
