"""What becomes of runs whose time passed while the server was not running: a pure function.

A deployment says so in its label `lictor.catch-up`: `all` (the default, and what Prefect does) runs
every one, `latest` only the last one of each schedule, `none` none, and a number only those that
are due for no more than so many seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lictor.schema.times import Timestamp, seconds_between

LABEL = "lictor.catch-up"

Policy = Literal["all", "latest", "none"] | float


class MissedRun(NamedTuple):
    """A run that did not start at its time, and the schedule that has made it."""

    run_id: str
    schedule_id: str
    due: Timestamp


def policy(label: object) -> Policy:
    """The policy that a label names; `all` for one that names none."""
    if label == "latest":
        return "latest"
    if label == "none":
        return "none"
    if isinstance(label, (str, int, float)) and not isinstance(label, bool):
        try:
            age_s = float(label)
        except (ValueError, OverflowError):
            return "all"
        return age_s if age_s >= 0 else "all"
    return "all"


def skipped(policy: Policy, missed: Sequence[MissedRun], now: Timestamp) -> list[MissedRun]:
    """Those of the missed runs that shall not run."""
    if policy == "all":
        return []
    if policy == "none":
        return list(missed)
    if policy == "latest":
        latest = _latest(missed)
        return [each for each in missed if each.run_id not in latest]
    return [each for each in missed if seconds_between(each.due, now) > policy]


def _latest(missed: Iterable[MissedRun]) -> set[str]:
    last: dict[str, MissedRun] = {}
    for each in missed:
        before = last.get(each.schedule_id)
        if before is None or before.due < each.due:
            last[each.schedule_id] = each
    return {each.run_id for each in last.values()}
