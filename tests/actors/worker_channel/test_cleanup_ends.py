"""What becomes of clean-up messages when workers leave, die or fail, the server restarts, and the
clock moves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from channel_world import World, frame, running
from cleanup_kit import (
    LEASE_S,
    delivered,
    id_of,
    passing,
    payloads,
    put,
    read,
    say,
    saying,
    taking,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from lictor.actors.cleanup import LOOK_S, REST_RELEASED_S, REST_S, retention, undelivered
from lictor.actors.deadlines import GATHER_S, RECHECK_S
from lictor.schema.commands.cleanup import UNDELIVERED_S
from lictor.schema.commands.deadlines import Clock

OTHER = "00000000-0000-4000-8000-00000000beef"


def status(world: World, number: int) -> str | None:
    message = read(world, number)
    return None if message is None else message.status


# Workers


async def test_what_a_worker_that_left_did_not_acknowledge_goes_to_another_after_its_lease(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1)
    one = await world.greeted(taking())
    two = await world.greeted(taking(consumer_id=OTHER))
    one.leave()
    await passing(LEASE_S - 1)
    assert delivered(two) == []
    await passing(1.001)
    assert delivered(two) == [(1, 2)]
    assert payloads(two)[0]["reservation_token"] != payloads(one)[0]["reservation_token"]
    assert (await say(two, "ack"))["status"] == "accepted"


async def test_a_worker_that_comes_back_is_given_no_more_before_the_lease_ends(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1, 2)
    one = await world.greeted(taking())
    one.leave()
    again = await world.greeted(taking())
    await passing(LEASE_S - 1)
    assert delivered(again) == []
    await passing(2)
    assert delivered(again) == [(1, 2)]


async def test_a_worker_that_comes_back_may_acknowledge_what_it_was_sent_before(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1, 2)
    one = await world.greeted(taking())
    one.leave()
    again = await world.greeted(taking())
    again.say(saying("ack", payloads(one)[0]))
    await wait_all_tasks_blocked()
    assert payloads(again, "cleanup.operation_result.v1")[0]["status"] == "accepted"
    await passing(REST_S)
    assert delivered(again) == [(2, 1)]


async def test_what_could_not_be_sent_goes_to_another_at_once_and_counts(
    world: World, autojump_clock: MockClock
) -> None:
    slow = await world.greeted(taking(2))
    slow.reads = trio.Event()
    await put(world, 1, 2)
    other = await world.greeted(taking(9, consumer_id=OTHER))
    slow.leave()
    await wait_all_tasks_blocked()
    assert sorted(delivered(other)) == [(1, 2), (2, 2)]


async def test_a_connection_that_breaks_while_a_message_is_sent_gives_it_back(
    world: World,
    autojump_clock: MockClock,
) -> None:
    one = await world.greeted(taking())
    two = await world.greeted(taking(consumer_id=OTHER))
    one.is_broken = True
    await put(world, 1)
    assert delivered(two) == [(1, 2)]


async def test_a_message_that_nobody_can_carry_out_is_given_up_after_three_deliveries(
    world: World, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await put(world, 1, 2)
    socket = await world.greeted(taking())
    statuses = []
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            statuses.append((await say(socket, "release"))["status"])
            await passing(REST_RELEASED_S)
    assert statuses == ["accepted", "accepted", "dead_lettered"]
    assert delivered(socket) == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert status(world, 1) == "dead"
    (record,) = [each for each in caplog.records if each.name == "lictor.actors.cleanup"]
    for word in (id_of(1), "max_delivery_attempts_reached", "busy", "flow_run_id"):
        assert word in record.getMessage()


async def test_a_message_whose_workers_all_die_is_given_up_after_three_leases(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1)
    for _ in range(3):
        socket = await world.greeted(taking())
        assert len(delivered(socket)) == 1
        socket.leave()
        await passing(LEASE_S + 0.001)
    assert status(world, 1) == "dead"
    assert delivered(await world.greeted(taking())) == []


async def test_a_malformed_operation_ends_the_channel_and_not_the_reservation(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    socket.say(frame("cleanup.ack.v1", {"message_id": id_of(1)}))
    await wait_all_tasks_blocked()
    assert socket.closed == (1002, "protocol_error")
    assert status(world, 1) == "reserved"


async def test_the_messages_of_a_deleted_pool_are_gone_and_its_workers_too(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    await world.delete()
    await passing(1)
    assert socket.closed == (1008, "authorization_failed")
    assert status(world, 1) is None


# The server


async def test_messages_and_reservations_survive_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as world:
        await put(world, 1)
        before = await world.greeted(taking())
        await put(world, 2)
        assert delivered(before) == [(1, 1)]
    async with running(tmp_path) as world:
        again = await world.greeted(taking())
        await passing(1)
        assert delivered(again) == []
        again.say(saying("ack", payloads(before)[0]))
        await passing(REST_S)
        assert payloads(again, "cleanup.operation_result.v1")[0]["status"] == "accepted"
        assert delivered(again) == [(2, 1)]
        again.leave()
        await wait_all_tasks_blocked()
    async with running(tmp_path) as world:
        other = await world.greeted(taking(consumer_id=OTHER))
        await passing(LEASE_S + 0.001)
        assert delivered(other) == [(2, 2)]


async def test_shorter_leases_hold_for_messages_from_before_the_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as world:
        await put(world, 1)
        await world.greeted(taking())
    async with running(tmp_path, cleanup_lease_s=5.0) as world:
        other = await world.greeted(taking(consumer_id=OTHER))
        await passing(5.001)
        assert delivered(other) == [(1, 2)]


@pytest.mark.parametrize(("deliveries_max", "sent"), [(1, 1), (5, 5)])
async def test_the_number_of_deliveries_is_the_operators_choice(
    tmp_path: Path, autojump_clock: MockClock, deliveries_max: int, sent: int
) -> None:
    async with running(tmp_path, cleanup_deliveries_max=deliveries_max) as world:
        await put(world, 1)
        socket = await world.greeted(taking())
        while (await say(socket, "release"))["status"] == "accepted":
            await passing(REST_RELEASED_S)
        assert len(delivered(socket)) == sent


# The clock


async def test_a_clock_that_jumps_ahead_ends_leases_at_the_next_look(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    one = await world.greeted(taking())
    two = await world.greeted(taking(consumer_id=OTHER))
    one.leave()
    world.offset_s = 3600
    await passing(LOOK_S + 0.001)
    assert delivered(two) == [(1, 2)]


async def test_a_clock_that_is_set_back_does_not_keep_a_message_from_others(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1)
    one = await world.greeted(taking())
    two = await world.greeted(taking(consumer_id=OTHER))
    one.leave()
    await wait_all_tasks_blocked()
    world.offset_s = -86_400
    await passing(LOOK_S + LEASE_S + 1)
    assert delivered(two) == [(1, 2)]


# What is over


async def keeping(world: World, **settings: Any) -> None:
    clock = Clock(world.mint, world.settings)
    async with trio.open_nursery() as nursery:
        for loop in (retention, undelivered):
            nursery.start_soon(loop(world.journal, world.readers, clock).run)


async def test_what_is_over_is_forgotten_after_its_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery, running(tmp_path, cleanup_retention_s=1000) as world:
        nursery.start_soon(keeping, world)
        socket = await world.greeted(taking())
        await put(world, 1)
        await passing(1)
        await say(socket, "ack")
        await passing(999)
        assert status(world, 1) == "acknowledged"
        await passing(1 + GATHER_S)
        assert status(world, 1) is None
        await put(world, 2)
        for _ in range(3):
            await say(socket, "release")
            await passing(REST_RELEASED_S)
        await passing(990)
        assert status(world, 2) == "dead"
        await passing(10 + GATHER_S)
        assert status(world, 2) is None
        nursery.cancel_scope.cancel()


async def test_what_no_worker_takes_for_a_week_is_given_up(
    world: World, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeping, world)
        await put(world, 1)
        await passing(UNDELIVERED_S - RECHECK_S)
        assert status(world, 1) == "waiting"
        await passing(2 * RECHECK_S)
        assert status(world, 1) == "dead"
        assert delivered(await world.greeted(taking())) == []
        nursery.cancel_scope.cancel()
    assert "not_delivered_in_time" in caplog.text
