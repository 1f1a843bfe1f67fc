"""Leases that end, clocks that move, and messages that are over or have waited too long."""

from __future__ import annotations

import pytest
from cleanup_world import LEASE_S, World, ask, id_of

from lictor.schema.commands import cleanup, work_pools
from lictor.schema.commands.cleanup import CleanupChanged, CleanupDied
from lictor.schema.tables import cleanup_messages as table


def test_a_lease_that_ends_frees_its_message_once(world: World) -> None:
    world.put(1)
    world.take(1)
    world.now_s += LEASE_S - 0.001
    assert world.expire() == 0
    world.now_s += 0.001
    world.published(CleanupChanged)
    assert world.expire() == 1
    assert world.published(CleanupChanged) == [CleanupChanged(world.pool.id)]
    assert (world.read(1).status, world.read(1).reservation_token) == ("waiting", None)
    assert world.expire() == 0


def test_reserving_ends_the_leases_that_are_over_first(world: World) -> None:
    world.put(1)
    world.take(1)
    world.now_s += LEASE_S
    assert world.reserve(ask(1, "another")) == [(1, 1)]


def test_leases_end_in_bounded_steps_the_earliest_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "EXPIRED_MAX", 2)
    for number in (1, 2, 3):
        world.put(number)
        world.take(number)
        world.now_s += 1
    world.now_s += LEASE_S
    assert [world.expire() for _ in range(3)] == [2, 1, 0]


def test_the_next_end_of_a_lease_is_known(world: World) -> None:
    def left() -> float | None:
        return cleanup.seconds_to_expire(world.tx, world.mint, world.settings)

    assert left() is None
    world.put(1)
    world.put(2)
    assert left() is None
    world.take(1)
    world.now_s += 10
    world.take(2)
    assert left() == pytest.approx(LEASE_S - 10)
    world.now_s += 1000
    assert left() == 0
    world.expire()
    assert left() is None


def test_a_clock_that_was_set_back_does_not_prolong_a_lease(world: World) -> None:
    world.put(1)
    message = world.take(1)
    world.now_s -= 365 * 86_400
    assert cleanup.seconds_to_expire(world.tx, world.mint, world.settings) == 0
    assert world.expire() == 0
    assert cleanup.seconds_to_expire(world.tx, world.mint, world.settings) == LEASE_S
    assert world.say("renew", message).status == "accepted"
    world.now_s += LEASE_S
    assert world.expire() == 1


def test_what_waited_too_long_dies(world: World) -> None:
    world.put(1)
    world.put(2)
    message = world.take(1)
    assert cleanup.give_up(world.tx, id_of(1), world.mint) is False
    assert cleanup.give_up(world.tx, id_of(2), world.mint) is True
    assert cleanup.give_up(world.tx, id_of(2), world.mint) is False
    assert cleanup.give_up(world.tx, id_of(9), world.mint) is False
    (died,) = world.published(CleanupDied)
    assert (died.message.id, died.reason) == (id_of(2), "not_delivered_in_time")
    assert world.read(2).reason == "not_delivered_in_time"
    assert world.say("ack", message).status == "accepted"


def test_what_is_forgotten_may_be_enqueued_again(world: World) -> None:
    world.put(1)
    world.say("ack", world.take(1))
    assert cleanup.forget(world.tx, id_of(1)) is True
    assert cleanup.forget(world.tx, id_of(1)) is False
    assert world.put(1).status == "waiting"


def test_messages_go_with_their_pool(world: World) -> None:
    world.put(1)
    world.put(2, pool=world.other)
    work_pools.delete(world.tx, "pool", world.mint)
    assert table.read(world.tx, id_of(1)) is None
    assert world.read(2).status == "waiting"
