"""Which deadlines a server keeps is the operator's choice."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lictor.config.settings import Settings
from lictor.daemon.housekeeping import housekeeping
from lictor.schema.mint import Mint

OF_RUNS = {
    "late runs",
    "pause expiry",
    "cancelling timeout",
    "cancellation clean-up",
    "unstarted runs",
    "liveness",
}


class Journal:
    def subscribe(self, _subscriber: object) -> None:
        pass


def names(**settings: Any) -> set[str]:
    journal, readers = cast(Any, Journal()), cast(Any, None)
    return {name for name, _ in housekeeping(journal, readers, Mint(), Settings(**settings))}


def test_all_deadlines_of_runs_are_kept_by_default() -> None:
    assert names() >= OF_RUNS


@pytest.mark.parametrize(
    ("setting", "value", "gone"),
    [
        ("late_runs_enabled", False, {"late runs"}),
        ("pause_expirations_enabled", False, {"pause expiry"}),
        (
            "cancellation_cleanup_enabled",
            False,
            {"cancelling timeout", "cancellation clean-up"},
        ),
        ("pending_timeout_s", 0.0, {"unstarted runs"}),
        ("heartbeat_timeout_s", 0.0, {"liveness"}),
    ],
)
def test_a_deadline_that_is_switched_off_is_not_kept(
    setting: str, value: object, gone: set[str]
) -> None:
    assert names() - names(**{setting: value}) == gone
