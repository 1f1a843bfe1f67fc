"""Clean-up messages reach the workers that can carry them out, in turn and within their limits."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from channel_world import CONSUMER, FRAME_ID, WorkerSocket, World
from cleanup_kit import (
    CLAIM,
    LEASE_S,
    TIMEOUT,
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

from lictor.actors.cleanup import REST_RELEASED_S, REST_S, RETRY_S, UNSENT_MAX
from lictor.schema.errors import Unavailable
from lictor.schema.times import shift

OTHER = "00000000-0000-4000-8000-00000000beef"


async def test_a_message_is_sent_to_a_worker_that_waits_for_it(
    world: World, autojump_clock: MockClock
) -> None:
    queue_id = await world.add_queue("q")
    socket = await world.greeted(taking())
    await put(world, 1, queue_id=queue_id)
    last = socket.sent[-1]
    assert last["type"] == "cleanup.message.v1"
    payload = last["payload"]
    assert len(payload.pop("reservation_token")) >= 40
    left_s = shift(payload.pop("lease_expires_at"), -LEASE_S)
    assert shift(world.mint.now(), -1) < left_s < world.mint.now()
    assert payload == {
        "message_id": id_of(1),
        "kind": TIMEOUT,
        "delivery_count": 1,
        "work_queue_id": queue_id,
        "target": {"flow_run_id": id_of(1)},
        "data": {},
    }


async def test_a_message_that_waited_is_sent_after_the_worker_was_answered_ready(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    types = [sent["type"] for sent in socket.sent]
    assert types == ["auth_success", "worker.ready.v1", "cleanup.message.v1"]


async def test_a_worker_without_the_capability_or_of_another_pool_is_sent_nothing(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await world.create("other")
    plain = await world.greeted()
    other = await world.greeted(taking(), pool="other")
    wrong = await world.greeted(taking(worker_name="x", handled_cleanup_kinds=[CLAIM]))
    await put(world, 1)
    assert [delivered(each) for each in (plain, other, wrong)] == [[], [], []]
    await put(world, 2, kind=CLAIM)
    assert delivered(wrong) == [(2, 1)]


async def test_a_worker_has_as_many_messages_as_it_takes_and_the_next_when_it_is_done(
    world: World,
    autojump_clock: MockClock,
) -> None:
    socket = await world.greeted(taking(2))
    await put(world, 1, 2, 3)
    assert delivered(socket) == [(1, 1), (2, 1)]
    assert (await say(socket, "ack", 0))["status"] == "accepted"
    await passing(REST_S)
    assert delivered(socket) == [(1, 1), (2, 1), (3, 1)]


async def test_the_next_message_follows_the_answer_by_some_moments(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1, 2)
    socket = await world.greeted(taking())
    await say(socket, "ack")
    await passing(REST_S * 0.9)
    assert delivered(socket) == [(1, 1)]
    assert socket.sent[-1]["type"] == "cleanup.operation_result.v1"
    await passing(REST_S * 0.1)
    assert delivered(socket) == [(1, 1), (2, 1)]


async def test_what_a_worker_gives_back_goes_to_another_at_once_and_to_itself_later(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    one = await world.greeted(taking())
    await say(one, "release")
    await passing(REST_RELEASED_S - 0.01)
    assert delivered(one) == [(1, 1)]
    await passing(0.01)
    assert delivered(one) == [(1, 1), (1, 2)]
    other = await world.greeted(taking(consumer_id=OTHER))
    await say(one, "release")
    assert delivered(other) == [(1, 3)]


async def test_a_renewal_does_not_cut_a_rest_short(world: World, autojump_clock: MockClock) -> None:
    await put(world, 1, 2, 3)
    socket = await world.greeted(taking(2))
    await say(socket, "ack", 0)
    await say(socket, "renew", 1)
    await passing(REST_S / 2)
    assert delivered(socket) == [(1, 1), (2, 1)]
    await passing(REST_S / 2)
    assert delivered(socket) == [(1, 1), (2, 1), (3, 1)]


async def test_nothing_is_sent_before_an_answer_that_is_slow_to_go_out(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    one = await world.greeted(taking())
    two = await world.greeted(taking(consumer_id=OTHER))
    await put(world, 2)
    one.reads = trio.Event()
    one.say(saying("ack", payloads(one)[-1]))
    await wait_all_tasks_blocked()
    await put(world, 3)
    await passing(LEASE_S / 2)
    one.reads.set()
    await wait_all_tasks_blocked()
    assert one.sent[-1]["type"] == "cleanup.operation_result.v1"
    await passing(REST_S)
    assert delivered(one) == [(1, 1), (3, 1)]
    assert delivered(two) == [(2, 1)]


async def test_workers_take_turns(world: World, autojump_clock: MockClock) -> None:
    one = await world.greeted(taking(9))
    two = await world.greeted(taking(9, consumer_id=OTHER))
    await put(world, 1, 2, 3, 4)
    assert [number for number, _ in delivered(one)] == [1, 3]
    assert [number for number, _ in delivered(two)] == [2, 4]


async def test_workers_of_a_queue_are_preferred_and_others_take_what_they_cannot(
    world: World,
    autojump_clock: MockClock,
) -> None:
    queue_id = await world.add_queue("q")
    any_other = await world.greeted(taking(9, work_queue_names=["default"]))
    of_queue = await world.greeted(taking(1, consumer_id=OTHER, work_queue_names=["q"]))
    await put(world, 1, 2, queue_id=queue_id)
    assert delivered(of_queue) == [(1, 1)]
    assert delivered(any_other) == [(2, 1)]


@pytest.mark.parametrize("operation", ["ack", "release", "renew"])
async def test_each_operation_is_answered(
    world: World, autojump_clock: MockClock, operation: str
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    result = await say(socket, operation)
    until = result.pop("lease_expires_at")
    assert (until is not None) == (operation == "renew")
    assert result == {
        "request_frame_id": FRAME_ID,
        "message_id": id_of(1),
        "operation": operation,
        "status": "accepted",
        "reason": None,
        "detail": None,
    }


async def test_a_renewed_message_stays_with_its_worker(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    for _ in range(4):
        await passing(LEASE_S - 5)
        assert (await say(socket, "renew"))["status"] == "accepted"
    assert (await say(socket, "ack"))["status"] == "accepted"
    assert delivered(socket) == [(1, 1)]


async def test_what_a_worker_says_of_others_messages_is_refused_with_the_reason(
    world: World,
    autojump_clock: MockClock,
) -> None:
    await world.create("other")
    await put(world, 1)
    one = await world.greeted(taking())
    stranger = await world.greeted(taking(), pool="other")
    (payload,) = payloads(one)
    for socket, more, status, reason in (
        (one, {"message_id": id_of(9)}, "not_found", "message_not_found"),
        (stranger, {}, "unauthorized", "work_pool_mismatch"),
        (one, {"reservation_token": "x"}, "invalid_token", "reservation_token_mismatch"),
    ):
        socket.say(saying("ack", payload, **more))
        await wait_all_tasks_blocked()
        answer = payloads(socket, "cleanup.operation_result.v1")[-1]
        assert (answer["status"], answer["reason"]) == (status, reason)
    assert (await say(one, "release"))["status"] == "accepted"
    one.say(saying("renew", payload))
    await wait_all_tasks_blocked()
    answer = payloads(one, "cleanup.operation_result.v1")[-1]
    assert (answer["status"], answer["reason"]) == ("not_current", "no_active_reservation")


async def test_an_operation_that_cannot_be_written_is_to_be_tried_again(
    world: World, autojump_clock: MockClock
) -> None:
    await put(world, 1)
    socket = await world.greeted(taking())
    world.journal.close()
    answer = await say(socket, "ack")
    assert (answer["status"], answer["reason"]) == ("error", "cleanup_queue_operation_failed")
    assert socket.closed is None


class Refusing:
    """A journal that writes nothing."""

    async def write(self, _job: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise Unavailable("The disk is full.")


async def test_a_store_that_refuses_delays_a_message_and_loses_none(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await world.greeted(taking())
    with monkeypatch.context() as patch:
        patch.setattr(world.cleanup, "_journal", Refusing())
        await put(world, 1)
        await passing(2.5 * RETRY_S)
        assert delivered(socket) == []
    await passing(RETRY_S)
    assert delivered(socket) == [(1, 1)]


async def test_a_slow_reader_holds_up_nobody_and_keeps_a_bounded_number(
    world: World, autojump_clock: MockClock
) -> None:
    slow = await world.greeted(taking(100))
    slow.reads = trio.Event()
    await put(world, *range(1, UNSENT_MAX + 3))
    assert delivered(slow) == []
    quick = await world.greeted(taking(100, consumer_id=OTHER))
    await wait_all_tasks_blocked()
    assert [number for number, _ in delivered(quick)] == [UNSENT_MAX + 1, UNSENT_MAX + 2]
    await put(world, 50)
    assert delivered(quick)[-1] == (50, 1)
    slow.reads.set()
    await wait_all_tasks_blocked()
    assert [number for number, _ in delivered(slow)] == list(range(1, UNSENT_MAX + 1))


async def test_a_reader_that_has_caught_up_is_given_more(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted(taking(100))
    socket.reads = trio.Event()
    await put(world, *range(1, UNSENT_MAX + 3))
    socket.reads.set()
    await wait_all_tasks_blocked()
    assert [number for number, _ in delivered(socket)] == list(range(1, UNSENT_MAX + 3))


async def test_a_slow_reader_is_not_sent_what_it_can_no_longer_do(
    world: World, autojump_clock: MockClock
) -> None:
    slow = await world.greeted(taking(3))
    slow.reads = trio.Event()
    await put(world, 1, 2, 3)
    other = await world.greeted(taking(9, consumer_id=OTHER))
    await passing(LEASE_S + 1)
    assert delivered(other) == [(1, 2), (2, 2), (3, 2)]
    slow.reads.set()
    await wait_all_tasks_blocked()
    # The first was on its way.
    assert delivered(slow) == [(1, 1)]


def consumer(socket: WorkerSocket) -> str:
    found: str = socket.payloads[0]["consumer_id"]
    return found


async def test_the_connections_of_one_worker_share_its_concurrency(
    world: World, autojump_clock: MockClock
) -> None:
    one, two = await world.greeted(taking(2)), await world.greeted(taking(2))
    assert consumer(one) == consumer(two) == CONSUMER
    await put(world, 1, 2, 3)
    assert delivered(one) == [(1, 1)]
    assert delivered(two) == [(2, 1)]
    found = read(world, 3)
    assert found is not None
    assert found.status == "waiting"
