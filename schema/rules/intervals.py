"""Random waiting times whose average is known, so that many who wait do not wake at once."""

from __future__ import annotations

import math
import random

OVERFLOW_MULTIPLE = 50


def clamped_poisson(chance: random.Random, average_s: float, clamping_factor: float = 0.3) -> float:
    """Seconds drawn from the exponential distribution around `average_s`, cut off at both ends.

    At most `average_s * (1 + clamping_factor)`; there is as much probability between the lower end
    and the median as between the median and the upper end, so the average stays about the same.
    0 for an average of 0 or less. `clamping_factor` must be positive.

    Source: `prefect.utilities.math.clamped_poisson_interval`.
    """
    assert clamping_factor > 0, clamping_factor
    if average_s <= 0:
        return 0.0
    most = 1 + clamping_factor
    low, high = (1 - math.exp(-multiple) for multiple in (_least_multiple(most), most))
    return -math.log(max(1 - chance.uniform(low, high), 1e-10)) * average_s


def _least_multiple(most: float) -> float:
    """The multiple of the average that is as far below the median as `most` is above it."""
    if most >= OVERFLOW_MULTIPLE:
        return 0.0
    return math.log2(2**most / (2**most - 1))
