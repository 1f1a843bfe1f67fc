"""Histories of runs as the API sends them. Durations are seconds.

Source: `prefect.server.schemas.responses.HistoryResponse`.
"""

from __future__ import annotations

import msgspec


class HistoryState(msgspec.Struct):
    """The runs of one interval that are in one state. Sums count what is positive."""

    state_type: str | None
    state_name: str | None
    count_runs: int
    sum_estimated_run_time: float
    sum_estimated_lateness: float


class HistoryInterval(msgspec.Struct):
    """One interval; its end is the next one's start."""

    interval_start: str
    interval_end: str
    states: list[HistoryState]
