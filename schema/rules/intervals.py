"""Random waiting times whose average is known, so that many who wait do not wake at once."""

from __future__ import annotations

import math
import random

OVERFLOW_MULTIPLE = 50


def clamped_poisson(chance: random.Random, average_s: float, clamping_factor: float = 0.3) -> float:
    """Seconds drawn from the exponential distribution around `average_s`, cut off at both ends.

    With k = 1 + `clamping_factor`, which must be positive: at most k times the average, and at
    least log2(2^k / (2^k - 1)) times, which keeps the average about where it was. 0 for an average
    of 0 or less.

    Source: `prefect.utilities.math.clamped_poisson_interval`.
    """
    assert clamping_factor > 0, clamping_factor
    if average_s <= 0:
        return 0.0
    most = 1 + clamping_factor
    low, high = (1 - math.exp(-multiple) for multiple in (_least_multiple(most), most))
    return -math.log(max(1 - chance.uniform(low, high), 1e-10)) * average_s


def _least_multiple(most: float) -> float:
    """The lower end that goes with `most`; both are multiples of the average."""
    if most >= OVERFLOW_MULTIPLE:
        return 0.0
    return math.log2(2**most / (2**most - 1))
