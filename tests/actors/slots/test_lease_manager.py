"""Leases end when nobody renews them, and only then, whatever happens to the clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from slot_world import World, holder

from lictor.actors import leases
from lictor.schema.backends import sqlite
from lictor.schema.commands.slots import EXPIRED_MAX

SOON_S = 0.1


async def test_a_slot_whose_holder_vanished_is_free_when_its_lease_ends(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    await world.lease(lease_duration=60)
    await trio.sleep(60 - SOON_S)
    assert await world.in_use() == 1
    await trio.sleep(2 * SOON_S)
    assert await world.in_use() == 0
    assert world.rows("leased_slots") == 0


async def test_a_lease_that_is_renewed_lives_on(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    lease = await world.lease(lease_duration=60)
    for _ in range(5):
        await trio.sleep(45)
        assert await world.renew(lease, 60) == 204
    await trio.sleep(60 - SOON_S)
    assert await world.in_use() == 1
    await trio.sleep(2 * SOON_S)
    assert await world.in_use() == 0
    assert await world.renew(lease, 60) == 410


async def test_a_lease_that_is_renewed_for_less_ends_sooner(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    lease = await world.lease(lease_duration=3600)
    assert await world.renew(lease, 60) == 204
    await trio.sleep(60 + SOON_S)
    assert await world.in_use() == 0


async def test_a_later_lease_may_end_first(
    world: World, autojump_clock: Any
) -> None:
    await world.limit(most=2)
    await world.lease(lease_duration=600)
    await trio.sleep(10)
    await world.lease(lease_duration=60)
    await trio.sleep(60 + SOON_S)
    assert await world.in_use() == 1


async def test_very_many_leases_end_at_once(
    world: World, autojump_clock: Any
) -> None:
    await world.limit(most=3 * EXPIRED_MAX)
    for _ in range(2 * EXPIRED_MAX + 1):
        await world.lease(lease_duration=60)
    await trio.sleep(61)
    assert await world.in_use() == 0


async def test_a_lease_of_the_first_api_never_ends(
    world: World, autojump_clock: Any
) -> None:
    await world("POST", "/concurrency_limits/", {"tag": "a", "concurrency_limit": 1})
    task = "00000000-0000-4000-8000-000000000001"
    body = {"names": ["a"], "task_run_id": task}
    assert (await world("POST", "/concurrency_limits/increment", body))[0] == 200
    await trio.sleep(3 * 86_400)
    assert await world.in_use("tag:a") == 1


async def test_an_idle_manager_looks_at_the_clock_and_writes_nothing(
    world: World, autojump_clock: Any
) -> None:
    before = world.writer.total_changes()
    await trio.sleep(3600)
    assert world.writer.total_changes() == before


async def test_after_a_restart_a_lease_has_its_whole_length_to_be_renewed(
    tmp_path: Path, autojump_clock: Any
) -> None:
    async with World(tmp_path).running() as world:
        await world.limit(most=3)
        short = await world.lease(lease_duration=60)
        await world.lease(lease_duration=60)
        long = await world.lease(lease_duration=600)
        await trio.sleep(50)
    await trio.sleep(3000)
    async with World(tmp_path).running() as world:
        await trio.sleep(60 - SOON_S)
        assert await world.in_use() == 3, "nobody could renew while the server was down"
        assert await world.renew(short, 60) == 204
        await trio.sleep(2 * SOON_S)
        assert await world.in_use() == 2
        assert await world.renew(long, 600) == 204


@pytest.mark.parametrize("jump_s", [100_000.0, -100_000.0])
async def test_a_clock_that_is_set_ends_no_lease_early_and_none_late(
    world: World, autojump_clock: Any, jump_s: float
) -> None:
    await world.limit()
    await world.lease(lease_duration=60)
    await trio.sleep(20)
    world.set_ahead_s = jump_s
    await trio.sleep(leases.LOOK_S)
    assert await world.in_use() == 1
    await trio.sleep(60 - leases.LOOK_S - SOON_S)
    assert await world.in_use() == 1
    await trio.sleep(leases.LOOK_S + 2 * SOON_S)
    assert await world.in_use() == 0


async def test_a_machine_that_stood_still_ends_no_lease_before_it_could_be_renewed(
    world: World, autojump_clock: Any
) -> None:
    """Monotonic time stands still with the machine, the wall clock does not."""
    await world.limit()
    lease = await world.lease(lease_duration=60)
    await trio.sleep(1)
    world.set_ahead_s = 7200
    await trio.sleep(50)
    assert await world.renew(lease, 60) == 204
    assert await world.in_use() == 1


async def test_a_clock_that_is_a_little_off_moves_no_expiry(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    await world.lease(lease_duration=60)
    await trio.sleep(20)
    world.set_ahead_s = leases.JUMP_S - 1
    await trio.sleep(40 + SOON_S)
    assert await world.in_use() == 0


async def test_leases_end_once_the_disk_takes_it(
    world: World, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.limit()
    await world.lease(lease_duration=60)
    refusals = []

    def commit(_tx: Any) -> None:
        refusals.append(trio.current_time())
        raise apsw.FullError

    with monkeypatch.context() as full:
        full.setattr(sqlite.GroupTx, "commit", commit)
        await trio.sleep(65)
    assert len(refusals) in (5, 6), "it tries again each second"
    assert await world.in_use() == 1
    await trio.sleep(leases.RETRY_S)
    assert await world.in_use() == 0


async def test_a_manager_stops_while_the_disk_refuses(
    tmp_path: Path, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path).running() as world:
        await world.limit()
        await world.lease(lease_duration=60)

        def commit(_tx: Any) -> None:
            raise apsw.FullError

        monkeypatch.setattr(sqlite.GroupTx, "commit", commit)
        await trio.sleep(61)
    assert trio.current_time() < 100


# Lines of waiting callers


async def test_a_lease_over_no_limit_stores_nothing_and_can_be_renewed_and_released(
    world: World, autojump_clock: Any
) -> None:
    before = world.writer.total_changes()
    lease = await world.lease("unknown")
    assert await world.renew(lease) == 204
    await world.release(lease)
    assert world.writer.total_changes() == before
    assert await world.lease("unknown") != lease


async def test_a_refusal_costs_no_transaction(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    await world.lease()
    before = world.writer.total_changes()
    await world.refused_s()
    assert world.writer.total_changes() == before


async def test_of_many_that_ask_at_once_as_many_get_slots_as_there_are(
    world: World, autojump_clock: Any
) -> None:
    await world.limit(most=10)
    granted, refused = [], []

    async def ask(n: int) -> None:
        body = {"names": ["db"], "slots": 1, **holder(n)}
        response = await world.raw("POST", "/v2/concurrency_limits/increment-with-lease", body)
        (granted if response.status == 200 else refused).append(response)

    async with trio.open_nursery() as nursery:
        for n in range(64):
            nursery.start_soon(ask, n)
    assert (len(granted), len(refused)) == (10, 54)
    assert {response.status for response in refused} == {423}
    assert await world.in_use() == 10


async def test_who_asks_while_a_release_is_under_way_gets_the_slot(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    lease = await world.lease()
    got = []

    async def ask(n: int) -> None:
        body = {"names": ["db"], "slots": 1, **holder(n)}
        response = await world.raw("POST", "/v2/concurrency_limits/increment-with-lease", body)
        got.append(response.status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.release, lease)
        await trio.lowlevel.checkpoint()
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
    assert sorted(got) == [200, 423]
    assert await world.in_use() == 1
    assert not world.manager._freeing
    assert not world.manager._hoping


async def test_callers_that_obey_have_their_turns_in_order(
    world: World, autojump_clock: Any
) -> None:
    """Five that want the slot for two seconds each, and one that always wants it again."""
    await world.limit()
    turns: list[int] = []

    async def work(n: int, times: int) -> None:
        await trio.sleep(n * 0.01)
        for _ in range(times):
            while True:
                body = {"names": ["db"], "slots": 1, **holder(n)}
                response = await world.raw(
                    "POST", "/v2/concurrency_limits/increment-with-lease", body
                )
                if response.status == 200:
                    break
                await trio.sleep(float(dict(response.headers)[b"retry-after"]))
            turns.append(n)
            await trio.sleep(2)
            await world.release(response_lease(response))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, 0, 4)
        for n in range(1, 6):
            nursery.start_soon(work, n, 1)
    assert len(turns) == 9
    assert sorted(turns[:6]) == [0, 1, 2, 3, 4, 5], turns
    assert trio.current_time() < 9 * 2 * 1.3
    assert len(world.manager.waiters) == 0


def response_lease(response: Any) -> str:
    lease_id: str = response.body.decode().split('"lease_id":"')[1][:36]
    return lease_id


async def test_who_does_not_come_again_is_forgotten(
    world: World, autojump_clock: Any
) -> None:
    await world.limit()
    await world.lease(lease_duration=600)
    for n in range(5):
        await world.refused_s(**holder(n))
    assert len(world.manager.waiters) == 5
    await trio.sleep(60)
    assert len(world.manager.waiters) == 0
