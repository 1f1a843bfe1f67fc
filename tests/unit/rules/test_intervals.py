"""Random waits: their bounds, their average, and that chance is the only thing that differs."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.schema.rules.intervals import clamped_poisson


@given(st.integers(), st.floats(0.001, 1e6), st.one_of(st.floats(0.01, 48), st.floats(49, 1000)))
def test_a_wait_stays_within_its_bounds(seed, average_s, factor):
    wait_s = clamped_poisson(random.Random(seed), average_s, factor)
    most = 1 + factor
    least = math.log2(2**most / (2**most - 1)) if most < 50 else 0.0
    assert average_s * least * (1 - 1e-6) <= wait_s <= average_s * most * (1 + 1e-6)


@pytest.mark.parametrize("factor", [0.1, 0.3, 1.0])
def test_the_average_of_many_waits_is_near_the_one_asked_for(factor):
    chance = random.Random(7)
    waits = [clamped_poisson(chance, 100, factor) for _ in range(2000)]
    assert sum(waits) / len(waits) == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(("end", "wait_s"), [(min, 7.517), (max, 13.0)])
def test_the_ends_of_the_usual_range(end, wait_s):
    class AtTheEnd(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return end(a, b)

    assert clamped_poisson(AtTheEnd(), 10, 0.3) == pytest.approx(wait_s, abs=0.01)


@pytest.mark.parametrize("average_s", [0, -1, -0.5])
def test_there_is_no_wait_around_zero(average_s):
    assert clamped_poisson(random.Random(0), average_s) == 0


def test_an_endless_factor_does_not_overflow():
    assert clamped_poisson(random.Random(0), 1, 1e6) >= 0
