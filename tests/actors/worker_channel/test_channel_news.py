"""A channel that is open: heartbeats in, snapshots out, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from channel_world import FRAME_ID, MESSAGE_ID, World, frame, heartbeat, hello
from trio.testing import MockClock, wait_all_tasks_blocked

from lictor.actors.worker_channel import MERGE_S, RETRY_S
from lictor.schema.errors import Unavailable


async def settled(seconds: float = MERGE_S) -> None:
    """Let virtual time pass, and everybody do what there is to do."""
    await trio.sleep(seconds)
    await wait_all_tasks_blocked()


async def test_every_worker_of_a_pool_hears_of_its_change_and_no_other(
    world: World, autojump_clock: MockClock
) -> None:
    await world.create("other")
    one, two = await world.greeted(), await world.greeted()
    other = await world.greeted(pool="other")
    await world.change(is_paused=True)
    await settled()
    for socket in (one, two):
        assert socket.told == [(2, "work_pool_updated")]
        assert socket.payloads[-1]["work_pool"]["is_paused"] is True
        assert socket.payloads[-1]["work_pool"]["status"] == "PAUSED"
    assert other.told == []
    await world.change(is_paused=False)
    await settled()
    assert one.told == [(2, "work_pool_updated"), (3, "work_pool_updated")]


async def test_changes_within_the_time_of_merging_are_told_once_as_the_last(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    for limit in range(5):
        await world.change(concurrency_limit=limit)
        await trio.sleep(MERGE_S / 8)
    assert socket.told == []
    await settled()
    assert socket.told == [(2, "work_pool_updated")]
    assert socket.payloads[-1]["work_pool"]["concurrency_limit"] == 4


@pytest.mark.parametrize(
    "change",
    [
        {"is_paused": False},
        {"concurrency_limit": None},
        {"base_job_template": {}},
        {"storage_configuration": {}},
    ],
)
async def test_a_write_to_what_workers_act_upon_is_told(
    world: World, autojump_clock: MockClock, change: Any
) -> None:
    socket = await world.greeted()
    await world.change(**change)
    await settled()
    assert socket.told == [(2, "work_pool_updated")]


async def test_a_description_is_told_after_the_next_heartbeat_only(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    await world.change(description="for nobody in particular")
    await settled()
    assert socket.told == []
    socket.say(heartbeat())
    await settled()
    assert socket.told == [(2, "heartbeat_reconciliation")]
    assert socket.payloads[-1]["work_pool"]["description"] == "for nobody in particular"
    socket.say(heartbeat())
    await settled()
    assert len(socket.told) == 1


async def test_a_change_and_a_heartbeat_together_are_told_once(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    await world.change(is_paused=True)
    socket.say(heartbeat(), heartbeat())
    await settled()
    assert socket.told == [(2, "work_pool_updated")]


async def test_a_heartbeat_is_stored_like_any_other_and_not_answered(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    before = world.workers()[0]
    socket.say(heartbeat(heartbeat_interval_seconds=5))
    await settled()
    (after,) = world.workers()
    assert after.last_heartbeat_time > before.last_heartbeat_time
    assert after.heartbeat_interval_seconds == 5
    assert len(socket.sent) == 2


@pytest.mark.parametrize(
    "message",
    [
        heartbeat(worker_name="another"),
        heartbeat(consumer_id=MESSAGE_ID),
        heartbeat(heartbeat_interval_seconds=-1),
        heartbeat(more=1),
        hello(),
        frame("worker.ready.v1", {}),
        frame("cleanup.release.v1", {"message_id": MESSAGE_ID, "reservation_token": "t"}),
        {"type": ["worker.heartbeat.v1"]},
    ],
)
async def test_a_breach_of_the_protocol_closes_the_channel(
    world: World, autojump_clock: MockClock, message: Any
) -> None:
    socket = await world.greeted(hello(), message)
    assert socket.closed == (1002, "protocol_error")


async def test_a_deleted_pool_closes_the_channels_of_its_workers(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    await world.delete()
    await settled()
    assert socket.closed == (1008, "authorization_failed")


async def test_a_heartbeat_for_a_pool_that_has_gone_cannot_be_stored(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    await world.delete()
    socket.say(heartbeat())
    await wait_all_tasks_blocked()
    assert socket.closed == (1011, "heartbeat_persistence_failed")


async def test_a_heartbeat_that_cannot_be_written_ends_the_channel(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    world.journal.close()
    socket.say(heartbeat())
    await wait_all_tasks_blocked()
    assert socket.closed == (1011, "heartbeat_persistence_failed")


@pytest.mark.parametrize("operation", ["ack", "release", "renew"])
async def test_an_operation_on_clean_up_is_answered_as_not_accepted(
    world: World, autojump_clock: MockClock, operation: str
) -> None:
    payload = {"message_id": MESSAGE_ID, "reservation_token": "t"}
    if operation == "release":
        payload["reason"] = "busy"
    socket = await world.greeted(hello(), frame(f"cleanup.{operation}.v1", payload))
    assert socket.sent[-1]["type"] == "cleanup.operation_result.v1"
    assert socket.payloads[-1] == {
        "request_frame_id": FRAME_ID,
        "message_id": MESSAGE_ID,
        "operation": operation,
        "status": "unauthorized",
        "lease_expires_at": None,
        "reason": "cleanup_delivery_not_accepted",
        "detail": None,
    }
    assert socket.closed is None


async def test_a_store_that_cannot_be_read_delays_the_news_and_loses_none(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await world.greeted()

    def fail(_query: Any) -> Any:
        raise Unavailable("The disk failed.")

    with monkeypatch.context() as patch:
        patch.setattr(world.readers, "inline", fail)
        await world.change(is_paused=True)
        await settled()
        assert socket.told == []
    await settled(RETRY_S + 2 * MERGE_S)
    assert socket.told == [(2, "work_pool_updated")]


async def test_a_worker_that_has_left_is_told_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted()
    socket.leave()
    await wait_all_tasks_blocked()
    await world.change(is_paused=True)
    await settled()
    assert socket.told == []
    assert socket.closed is None


async def test_a_worker_that_reads_slowly_is_told_of_the_last_change_only(
    world: World, autojump_clock: MockClock
) -> None:
    pool = world.pool()
    with world.channels.join(pool.id, "slow") as seat:
        assert (await seat.take()).reason == "initial"
        for limit in (1, 2, 3):
            await world.change(concurrency_limit=limit)
            await settled()
        snapshot = await seat.take()
        assert snapshot.snapshot_sequence == 2
        assert b'"concurrency_limit":3' in bytes(snapshot.work_pool)
