"""What is in use, what fits, and what a lease gives back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.schema.errors import Invalid
from lictor.schema.rules import slots
from lictor.schema.rules.slots import Limit


def limit(name: str = "db", most: int = 2, **fields: Any) -> Limit:
    columns: dict[str, Any] = {
        "active": True,
        "decay_per_s": 0.0,
        "occupancy_s": 2.0,
        "loose_slots": 0.0,
        "loose_at": 0.0,
        "leased_slots": 0,
        **fields,
    }
    return Limit(1, f"id-of-{name}", "", "", name, limit=most, **columns)


def test_without_decay_the_leases_and_what_was_taken_without_one_are_in_use():
    assert limit(most=9, leased_slots=3, loose_slots=2.0).occupied(1e9) == 5


def test_with_decay_what_was_taken_drains_and_keeps_its_fraction():
    rate = limit(decay_per_s=0.5, loose_slots=2.0, leased_slots=2)
    assert rate.occupied(1) == 1.5
    assert rate.occupied(3) == 0.5
    assert rate.occupied(100) == 0
    assert rate.occupied(-100) == 2, "a clock that was set back lets nothing grow"


@pytest.mark.parametrize(("occupied", "shown"), [(0, 0), (0.2, 1), (1, 1), (1.999, 2), (2, 2)])
def test_a_slot_that_has_decayed_in_part_is_shown_as_in_use(occupied, shown):
    assert slots.whole(occupied) == shown


def test_all_slots_can_be_taken_and_not_one_more():
    assert limit(most=3, leased_slots=1).fits(2, 0)
    assert not limit(most=3, leased_slots=1).fits(3, 0)


def test_an_inactive_limit_holds_nobody():
    assert limit(most=0, active=False).fits(5, 0)
    slots.require_possible([limit(most=0, active=False)], 5, "rate_limit")


@given(
    decay=st.floats(0.001, 1000), capacity=st.integers(1, 50), polls=st.lists(st.floats(0.01, 3))
)
def test_however_it_is_asked_a_rate_limit_grants_no_more_than_its_rate(decay, capacity, polls):
    now_at, loose, loose_at, granted = 0.0, 0.0, 0.0, 0
    for gap in polls:
        now_at += gap
        rate = limit(most=capacity, decay_per_s=decay, loose_slots=loose, loose_at=loose_at)
        while rate.fits(1, now_at):
            granted += 1
            loose, loose_at = rate.occupied(now_at) + 1, now_at
            rate = limit(most=capacity, decay_per_s=decay, loose_slots=loose, loose_at=loose_at)
    assert granted <= capacity + decay * now_at + 1e-6
    # Polling starves nobody: what had drained at the last look, and was whole, was granted then.
    assert granted >= min(1, len(polls)) * capacity


@pytest.mark.parametrize(("most", "mode"), [(1, "concurrency"), (0, "concurrency"), (1, "rate")])
def test_more_slots_than_a_limit_has_can_never_be_granted(most, mode):
    with pytest.raises(Invalid, match="greater than the limit"):
        slots.require_possible([limit(most=5), limit(most=most)], 2, mode)


def test_a_rate_is_not_asked_of_a_limit_without_decay_and_the_answer_names_it():
    slots.require_possible([limit("rate", decay_per_s=1.0)], 1, "rate_limit")
    with pytest.raises(Invalid, match=r"These have none: steady\."):
        slots.require_possible(
            [limit("rate", decay_per_s=1.0), limit("steady")], 1, "rate_limit"
        )


def test_a_lease_gives_back_what_cannot_have_decayed_since_it_was_granted():
    # At 0 A took two slots, at 1 B took two; A leaves at 2, after one of its slots has drained.
    rate = limit(most=9, decay_per_s=0.5, loose_slots=3.5, loose_at=1.0)
    assert slots.after_release(rate, 2, 2.0, 2.0) == 3.0 - 1.0
    assert slots.after_release(rate, 2, 100.0, 2.0) == 3.0, "nothing of it is left"
    assert slots.after_release(limit(loose_slots=1.0), 2, 5.0, 5.0) == 1.0, "leases are rows"


@given(
    holds=st.lists(
        st.tuples(st.floats(0, 5), st.integers(1, 3), st.floats(0, 5)), min_size=1, max_size=6
    ),
    decay=st.floats(0.01, 2),
)
def test_releases_never_make_a_bucket_emptier_than_if_all_had_come_one_after_another(holds, decay):
    """What is given back was poured in by the same lease: the rest of the bucket is others'."""
    moments = sorted(
        event
        for n, (start, number, length) in enumerate(holds)
        for event in ((start, 0, n, number, 0.0), (start + length, 1, n, number, length))
    )
    loose, loose_at = 0.0, 0.0
    poured: dict[int, float] = {}
    for at, kind, n, number, length in moments:
        rate = limit(most=99, decay_per_s=decay, loose_slots=loose, loose_at=loose_at)
        if kind == 0:
            loose, poured[n] = rate.occupied(at) + number, number
        else:
            left = slots.after_release(rate, number, length, at)
            assert rate.occupied(at) - left <= poured.pop(n) + 1e-9
            loose = left
        loose_at = at
        # What others have poured in since their own starts can have drained only at the rate.
        for other, amount in poured.items():
            age = at - holds[other][0]
            assert loose >= amount - decay * age - 1e-6


def test_the_average_moves_towards_each_holding_by_its_share():
    two = limit(most=2, occupancy_s=2.0)
    assert slots.average_occupancy(two, 1, 6.0) == 3.0
    assert slots.average_occupancy(two, 2, 6.0) == 2.25, "per slot"
    assert slots.average_occupancy(two, 1, 0.0) == pytest.approx(2 - 1.9 / 4), "a tenth at least"
    assert slots.average_occupancy(limit(most=0), 1, 6.0) == 2.0, "no slots, no average"
