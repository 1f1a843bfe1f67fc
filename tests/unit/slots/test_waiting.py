"""When a refused caller is told to come again, and whose turn it is."""

from __future__ import annotations

import heapq
import random

import pytest
from test_slot_arithmetic import limit

from lictor.schema.rules import waiting
from lictor.schema.rules.slots import Holding
from lictor.schema.rules.waiting import Waiters, wait_s


def lease(age_s: float, slots: int = 1, expires_in_s: float | None = None) -> Holding:
    return Holding(1000 - age_s, None if expires_in_s is None else 1000 + expires_in_s, slots)


def wait(most: int, holdings: list[Holding], slots: int = 1, ahead: int = 0, **fields) -> float:
    held = limit(most=most, leased_slots=sum(each.slots for each in holdings), **fields)
    return wait_s(held, holdings, slots, ahead, 1000.0)


def test_the_wait_ends_when_the_oldest_lease_has_lasted_the_usual_time():
    assert wait(2, [lease(1.5), lease(0.5)]) == 0.5


def test_the_wait_for_two_slots_ends_with_the_second_lease():
    assert wait(2, [lease(1.5), lease(0.5)], slots=2) == 1.5


def test_the_next_caller_waits_for_the_next_lease():
    assert wait(2, [lease(1.5), lease(0.5)], ahead=1) == 1.5


def test_who_comes_after_all_leases_waits_for_those_that_follow_them():
    assert wait(2, [lease(1.5), lease(0.5)], ahead=3) == pytest.approx(1.5 + 2 * 2.0 / 2)


def test_a_lease_that_has_lasted_too_long_is_asked_about_again_soon_and_then_more_rarely():
    assert wait(1, [lease(8)]) == 1.0
    assert wait(1, [lease(80)]) == 10.0


def test_no_lease_is_expected_to_outlive_its_expiry():
    assert wait(1, [lease(80, expires_in_s=3)]) == 3
    assert wait(1, [lease(80, expires_in_s=-3)]) == waiting.WAIT_S_MIN


def test_slots_without_a_lease_are_expected_to_last_the_usual_time():
    assert wait(1, [], loose_slots=1.0) == 2.0


def test_the_wait_for_a_decaying_limit_is_known():
    rate = limit(most=2, decay_per_s=0.5, loose_slots=2.0, loose_at=1000.0)
    assert wait_s(rate, [], 1, 0, 1000.0) == pytest.approx(2.0, abs=0.01)
    assert wait_s(rate, [], 1, 3, 1000.0) == pytest.approx(8.0, abs=0.01)


def test_when_slots_are_free_the_wait_is_short():
    assert wait(3, [lease(1)]) == waiting.WAIT_S_MIN


def refuse(waiters: Waiters, who: str | None, now_s: float, wait: float, slots: int = 1) -> int:
    ahead = waiters.ahead("id-of-db", who, now_s)
    waiters.refused("id-of-db", who, slots, now_s, wait)
    return ahead


def test_callers_queue_in_the_order_of_their_first_refusal():
    waiters = Waiters()
    assert [refuse(waiters, who, 0, 1, 2) for who in "abc"] == [0, 2, 4]
    assert refuse(waiters, "a", 1, 1, 2) == 0
    assert refuse(waiters, "c", 1, 1, 2) == 4
    waiters.served("id-of-db", "b", 1)
    assert waiters.ahead("id-of-db", "c", 1) == 2
    assert waiters.ahead("id-of-db", "new", 1) == 4


def test_a_caller_without_a_name_is_taken_for_the_one_that_was_called_first():
    waiters = Waiters()
    refuse(waiters, None, 0.0, 1.0)
    refuse(waiters, None, 0.1, 2.0)
    assert len(waiters) == 2
    assert waiters.ahead("id-of-db", None, 0.5) == 2, "nobody is called yet: a third"
    assert refuse(waiters, None, 1.0, 1.0) == 0
    assert len(waiters) == 2
    waiters.served("id-of-db", None, 2.1)
    assert len(waiters) == 1


def test_a_place_is_kept_for_who_is_about_to_come_against_who_comes_in_between():
    waiters, db = Waiters(), limit(most=1, occupancy_s=2.0)
    refuse(waiters, "first", 0, 1.0)
    assert waiters.kept(db, "new", 0.5) == 0, "not called for long"
    assert waiters.kept(db, "new", 0.9) == 1
    assert waiters.kept(db, "new", 1.1) == 1
    assert waiters.kept(db, "first", 1.0) == 0, "not against itself"
    assert waiters.kept(db, "new", 1.3) == 0, "it does not come"


def test_no_place_is_kept_for_who_does_not_wait_to_be_called():
    waiters, db = Waiters(), limit(most=1, occupancy_s=2.0)
    refuse(waiters, "eager", 0, 1.0)
    refuse(waiters, "eager", 0.2, 1.0)
    assert waiters.kept(db, "new", 1.2) == 0
    assert waiters.ahead("id-of-db", "new", 1.2) == 1, "but it is still in the queue"


def test_who_does_not_come_is_forgotten():
    waiters = Waiters()
    refuse(waiters, "gone", 0, 1.0)
    assert waiters.ahead("id-of-db", "new", 1.0 + waiting.FORGOTTEN_S) == 1
    waiters.forget_gone(1.1 + waiting.FORGOTTEN_S)
    assert len(waiters) == 0
    assert waiters.ahead("id-of-db", "new", 1.1 + waiting.FORGOTTEN_S) == 0


def test_nobody_is_sent_away_for_longer_than_it_has_waited():
    waiters = Waiters()
    told, now_s = [], 0.0
    for _ in range(6):
        told.append(waiters.patience_s("id-of-db", "a", now_s))
        waiters.refused("id-of-db", "a", 1, now_s, told[-1])
        now_s += told[-1]
    assert told == [1, 1, 2, 4, 8, 16]


def test_memory_is_bounded_and_who_finds_no_place_waits_at_the_end():
    waiters = Waiters(places_max=3, limits_max=2)
    for who in "abcde":
        refuse(waiters, who, 0, 1.0)
    assert len(waiters) == 3
    assert refuse(waiters, "e", 1, 1.0) == 3
    for name in ("x", "y", "z"):
        waiters.refused(name, "a", 1, 0, 1.0)
    assert len(waiters) == 4


def polite(
    processes: int, seconds: float, hold_s: float, times: int = 1000
) -> tuple[dict[str, int], float]:
    """How often each of some processes got the one slot, and when the last of them was done.

    All of them obey what they are told; each wants the slot so many `times`, and asks for it anew
    as soon as it has given it back.
    """
    chance, waiters = random.Random(5), Waiters()
    granted = dict.fromkeys((f"process-{n}" for n in range(processes)), 0)
    queue = [(chance.random() * 0.01, who, "ask") for who in granted]
    heapq.heapify(queue)
    since: float | None = None
    now_s, average_s = 0.0, 2.0
    while queue and queue[0][0] < seconds:
        now_s, who, act = heapq.heappop(queue)
        if act == "give":
            assert since is not None
            average_s += (max(now_s - since, 0.1) - average_s) / 2
            since = None
            if granted[who] < times:
                heapq.heappush(queue, (now_s + 0.001, who, "ask"))
            continue
        held = limit(most=1, leased_slots=int(since is not None), occupancy_s=average_s)
        if held.fits(1 + waiters.kept(held, who, now_s), 0):
            since = now_s
            granted[who] += 1
            waiters.served(held.id, who, now_s)
            lasting_s = hold_s * (0.9 + 0.2 * chance.random())
            heapq.heappush(queue, (now_s + lasting_s, who, "give"))
            continue
        ahead = waiters.ahead(held.id, who, now_s)
        holdings = [] if since is None else [Holding(since, since + 300, 1)]
        told_s = wait_s(held, holdings, 1, ahead, now_s) * (1 + 0.1 * chance.random())
        told_s = min(told_s, 30, waiters.patience_s(held.id, who, now_s))
        waiters.refused(held.id, who, 1, now_s, told_s)
        heapq.heappush(queue, (now_s + told_s + 0.002, who, "ask"))
    return granted, now_s


@pytest.mark.parametrize("hold_s", [0.12, 1.0, 10.0])
def test_processes_that_ask_again_at_once_do_not_starve_those_that_wait(hold_s):
    granted, _ = polite(4, 200 * hold_s, hold_s)
    assert min(granted.values()) > 0.5 * max(granted.values()), granted


@pytest.mark.parametrize("hold_s", [0.12, 1.0, 10.0])
def test_a_contended_slot_is_in_use_most_of_the_time(hold_s):
    granted, _ = polite(8, 200 * hold_s, hold_s)
    assert sum(granted.values()) > 0.6 * 200, granted


@pytest.mark.parametrize("hold_s", [0.12, 1.0, 10.0])
def test_many_that_want_a_slot_once_have_all_had_it_before_long(hold_s):
    granted, done_s = polite(64, 10_000, hold_s, times=1)
    assert set(granted.values()) == {1}
    assert done_s < 64 * hold_s * 2 + 5, done_s
