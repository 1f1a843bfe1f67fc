"""The answer of `GET /lictor/flow_runs/{id}/why`: no route of Prefect's."""

from __future__ import annotations

import msgspec

Fact = str | int | float | bool | None


class Explanation(msgspec.Struct, frozen=True):
    """Why a run is not running. `reason` is a word for programs, `sentence` the same for people.

    `since`: when it came into its state; `until`: when the wait ends, as far as that is known.
    `facts` belong to the reason.
    """

    reason: str
    sentence: str
    state_type: str | None
    state_name: str
    since: str
    until: str | None
    facts: dict[str, Fact]
