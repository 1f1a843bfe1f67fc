"""The clean-up queue: what is enqueued once, who gets it, and what its worker may do with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cleanup_world import CLAIM, LEASE_S, TIMEOUT, World, ask, id_of

from lictor.schema.commands import cleanup
from lictor.schema.commands.cleanup import CleanupChanged, CleanupDied, Result
from lictor.schema.errors import Conflict
from lictor.schema.times import shift
from lictor.schema.wire.worker_channel import Operation

OPERATIONS: list[Operation] = ["ack", "release", "renew"]
DEAD = Result("dead_lettered", "max_delivery_attempts_reached")


# Enqueueing


def test_a_message_waits_and_its_pool_is_told(world: World) -> None:
    message = world.put(1, queue_id=world.queue_id)
    assert (message.status, message.delivery_count) == ("waiting", 0)
    assert message.work_queue_id == world.queue_id
    target = msgspec.json.decode(message.target)
    assert target == {"flow_run_id": id_of(1), "infrastructure_pid": None}
    assert bytes(message.data) == b"{}"
    assert world.published(CleanupChanged) == [CleanupChanged(world.pool.id)]


def test_the_same_id_is_the_same_message(world: World) -> None:
    first = world.put(1)
    world.published(CleanupChanged)
    assert world.put(1, kind=CLAIM) == first
    assert world.published(CleanupChanged) == []


def test_the_same_key_in_a_pool_is_the_same_message(world: World) -> None:
    first = world.put(1, key="k")
    assert world.put(2, key="k") == first
    assert world.put(3, key="k", pool=world.other).id == id_of(3)


def test_an_id_is_not_given_to_another_key_or_pool(world: World) -> None:
    world.put(1)
    with pytest.raises(Conflict):
        world.put(1, key="another")
    with pytest.raises(Conflict):
        world.put(1, pool=world.other)


def test_a_message_that_is_over_is_returned_as_it_ended_and_not_delivered_again(
    world: World,
) -> None:
    world.put(1)
    world.say("ack", world.take(1))
    assert world.put(1).status == "acknowledged"
    assert world.put(7, key="key 1").id == id_of(1)
    world.put(2)
    for _ in range(3):
        world.say("release", world.take(2))
    assert world.put(2).status == "dead"
    assert world.put(8, key="key 2").id == id_of(2)
    assert world.reserve() == []


# Reserving


def test_the_oldest_message_goes_first_also_when_it_comes_back(world: World) -> None:
    for number in (3, 1, 2):
        world.put(number)
    first = world.take(3)
    assert world.say("release", first).status == "accepted"
    assert [world.take().message_id for _ in range(3)] == [id_of(3), id_of(1), id_of(2)]


def test_a_reservation_counts_and_has_a_fresh_token_and_a_lease(world: World) -> None:
    world.put(1, queue_id=world.queue_id)
    one = world.take(1)
    world.say("release", one)
    two = world.take(1)
    assert (one.delivery_count, two.delivery_count) == (1, 2)
    assert len(one.reservation_token) >= 40
    assert one.reservation_token != two.reservation_token
    assert two.lease_expires_at == shift(world.mint.now(), LEASE_S)
    assert (two.kind, two.work_queue_id) == (TIMEOUT, world.queue_id)
    assert world.read(1).delivery_count == 2


def test_a_message_is_reserved_by_one_only(world: World) -> None:
    world.put(1)
    assert world.reserve(ask(1, "a"), ask(2, "b")) == [(1, 1)]
    assert world.reserve(ask(1, "a"), ask(2, "b")) == []


def test_only_kinds_that_the_worker_handles_are_reserved(world: World) -> None:
    world.put(1, kind=CLAIM)
    world.put(2, kind=TIMEOUT)
    assert world.reserve(ask(kinds=(TIMEOUT,), concurrency=9)) == [(1, 2)]
    assert world.reserve(ask(kinds=(CLAIM,), concurrency=9)) == [(1, 1)]


def test_messages_of_another_pool_stay_there(world: World) -> None:
    world.put(1, pool=world.other)
    assert world.reserve() == []
    assert world.reserve(pool=world.other) == [(1, 1)]


def test_messages_of_its_queues_come_before_older_ones_of_the_pool(world: World) -> None:
    world.put(1)
    world.put(2, queue_id="another")
    world.put(3, queue_id=world.queue_id)
    mine = ask(queues=(world.queue_id,), concurrency=9)
    assert [number for _, number in world.reserve(mine)] == [3, 1, 2]


def test_a_message_goes_to_a_worker_of_its_queue_though_another_is_first(world: World) -> None:
    world.put(1, queue_id=world.queue_id)
    assert world.reserve(ask(1, "a"), ask(2, "b", queues=(world.queue_id,))) == [(2, 1)]


def test_connections_take_turns(world: World) -> None:
    for number in range(1, 6):
        world.put(number)
    taken = world.reserve(ask(1, "a", concurrency=2), ask(2, "b", concurrency=9))
    assert taken == [(1, 1), (2, 2), (1, 3), (2, 4), (2, 5)]


def test_a_holder_has_no_more_than_its_concurrency_on_all_its_connections(world: World) -> None:
    for number in range(1, 6):
        world.put(number)
    assert world.reserve(ask(1, concurrency=2), ask(2, concurrency=2)) == [(1, 1), (2, 2)]
    assert world.reserve(ask(3, concurrency=2)) == []
    assert world.reserve(ask(3, "another name")) == [(3, 3)]


def test_room_is_free_again_after_any_end_of_a_reservation(world: World) -> None:
    for number in (1, 2, 3):
        world.put(number)
    world.say("ack", world.take(1))
    assert world.reserve() == [(1, 2)]
    world.now_s += LEASE_S
    # What comes back is still the oldest.
    assert world.reserve() == [(1, 2)]


def test_a_connection_gets_no_more_at_once_than_it_has_room_for(world: World) -> None:
    for number in range(1, 6):
        world.put(number)
    assert world.reserve(ask(concurrency=9, room=2)) == [(1, 1), (1, 2)]


def test_one_transaction_reserves_a_bounded_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "RESERVED_MAX", 2)
    for number in range(1, 4):
        world.put(number)
    assert len(world.reserve(ask(concurrency=9))) == 2


def test_what_was_delivered_too_often_already_dies_and_the_next_one_goes(tmp_path: Path) -> None:
    world = World(tmp_path / "lictor.db", cleanup_deliveries_max=1)
    world.put(1)
    world.put(2)
    world.tx.run("UPDATE cleanup_message SET delivery_count = 2 WHERE id = ?", (id_of(1),))
    assert world.reserve() == [(1, 2)]
    assert world.read(1).status == "dead"
    world.close()


def test_one_transaction_gives_up_a_bounded_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "RESERVED_MAX", 2)
    world = World(tmp_path / "lictor.db", cleanup_deliveries_max=1)
    for number in range(1, 4):
        world.put(number)
    world.tx.run("UPDATE cleanup_message SET delivery_count = 2")
    assert world.reserve() == []
    assert [world.read(number).status for number in (1, 2, 3)] == ["dead", "dead", "waiting"]
    world.close()


def test_whoever_has_room_is_asked_only_when_there_is_something(world: World) -> None:
    now = world.mint.now()
    asks = [ask(1, "a", room=1), ask(2, "b", room=1)]
    assert cleanup.with_room(world.tx, world.pool.id, asks, now) == []
    world.put(1)
    world.put(2)
    assert cleanup.with_room(world.tx, world.pool.id, asks, now) == asks
    world.reserve(asks[0])
    assert cleanup.with_room(world.tx, world.pool.id, asks, now) == asks[1:]


def test_a_place_that_becomes_free_after_the_look_is_not_filled(world: World) -> None:
    """The worker has not read yet that its message is over."""
    for number in (1, 2, 3):
        world.put(number)
    two = ask(concurrency=2)
    ((_, message),) = cleanup.reserve(
        world.tx, world.pool.id, [two._replace(room=1)], world.mint, world.settings
    )
    asks = cleanup.with_room(world.tx, world.pool.id, [two], world.mint.now())
    world.say("ack", message)
    assert world.reserve(*asks) == [(1, 2)]


def test_a_lease_that_is_over_takes_no_room_before_it_is_ended(world: World) -> None:
    world.put(1)
    world.put(2)
    world.take(1)
    assert cleanup.with_room(world.tx, world.pool.id, [ask()], world.mint.now()) == []
    world.now_s += LEASE_S
    assert cleanup.with_room(world.tx, world.pool.id, [ask(room=1)], world.mint.now()) == [
        ask(room=1)
    ]


# What a worker does with it


def test_an_acknowledged_message_is_over(world: World) -> None:
    world.put(1)
    message = world.take(1)
    assert world.say("ack", message) == Result("accepted")
    assert world.read(1).status == "acknowledged"
    assert world.say("ack", message) == Result("not_found", "message_not_found")
    world.now_s += 10 * LEASE_S
    assert world.expire() == 0
    assert world.reserve() == []


def test_a_released_message_is_free_at_once_and_its_pool_is_told(world: World) -> None:
    world.put(1)
    message = world.take(1)
    world.published(CleanupChanged)
    assert world.say("release", message) == Result("accepted")
    assert world.published(CleanupChanged) == [CleanupChanged(world.pool.id)]
    assert world.say("release", message) == Result("not_current", "no_active_reservation")
    assert world.reserve() == [(1, 1)]


def test_a_renewed_lease_ends_later_and_counts_no_delivery(world: World) -> None:
    world.put(1)
    message = world.take(1)
    world.now_s += LEASE_S - 1
    until = shift(world.mint.now(), LEASE_S)
    assert world.say("renew", message) == Result("accepted", None, until)
    world.now_s += LEASE_S - 1
    assert world.expire() == 0
    assert world.say("ack", message).status == "accepted"
    assert world.read(1).delivery_count == 1


def test_a_message_released_for_the_third_time_is_dead_and_says_why(world: World) -> None:
    world.put(1)
    for _ in range(2):
        assert world.say("release", world.take(1)).status == "accepted"
    last = world.take(1)
    assert last.delivery_count == 3
    assert world.say("release", last, reason="x" * 9999) == DEAD
    dead = world.read(1)
    assert (dead.status, dead.reason) == ("dead", "max_delivery_attempts_reached")
    assert dead.release_reason == "x" * 500
    assert dead.reservation_token == last.reservation_token
    (died,) = world.published(CleanupDied)
    assert (died.message.id, died.message.delivery_count) == (id_of(1), 3)
    for operation in OPERATIONS:
        assert world.say(operation, last).status == "not_found"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_checks_come_in_prefects_order(world: World, operation: Operation) -> None:
    world.put(1)
    message = world.take(1)
    gone = msgspec.structs.replace(message, message_id=id_of(99))
    # Each claim is wrong in everything that is checked from there on, and the lease is over.
    world.now_s += LEASE_S
    for claimed, expected in (
        (gone, Result("not_found", "message_not_found")),
        (message, Result("unauthorized", "work_pool_mismatch")),
    ):
        assert world.say(operation, claimed, token="wrong", pool=world.other) == expected
    assert world.say(operation, message, token="wrong") == Result(
        "invalid_token", "reservation_token_mismatch"
    )
    assert world.say(operation, message) == Result("expired", "lease_expired")
    assert world.say(operation, message, token="wrong") == Result(
        "not_current", "no_active_reservation"
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_lease_that_is_over_on_its_last_delivery_is_a_death(
    world: World, operation: Operation
) -> None:
    world.put(1)
    for _ in range(2):
        world.say("release", world.take(1))
    message = world.take(1)
    world.now_s += LEASE_S
    assert world.say(operation, message) == DEAD
    assert world.read(1).status == "dead"
    assert world.read(1).release_reason is None


def test_the_token_of_an_earlier_delivery_is_good_for_nothing(world: World) -> None:
    world.put(1)
    old = world.take(1)
    world.say("release", old)
    new = world.take(1)
    assert world.say("ack", old).status == "invalid_token"
    assert world.say("ack", old, token="schlüssel").status == "invalid_token"
    assert world.say("ack", new).status == "accepted"
