"""The rules that flow runs and task runs share, and what both kinds of rules build on.

Each function is the hook of a rule of the same name in `policies.py`.
Source: `prefect.server.orchestration.core_policy`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.schema.rules.engine import Transition
from lictor.schema.rules.records import State
from lictor.schema.times import Timestamp, parse, shift
from lictor.schema.wire.states import SparseStateDetails

LATEST: Timestamp = "9999-12-31T23:59:59.999999Z"


def prevent_pending_transitions(transition: Transition[Any]) -> None:
    """One submission only: a run on its way or stopped is not submitted again.

    A worker may name the steps of its submission: those names pass, and carry on what the PENDING
    state before them held.
    """
    current, proposed = both(transition)
    if current.type == "PENDING" and proposed.name != current.name and proposed.name != "Pending":
        proposed.details.scheduled_time = current.details.scheduled_time
        proposed.details.deployment_concurrency_lease_id = (
            current.details.deployment_concurrency_lease_id
        )
        return
    transition.abort(f"This run is {current.type} and cannot become PENDING.")


def copy_scheduled_time(transition: Transition[Any]) -> None:
    """A PENDING state keeps the scheduled time of the SCHEDULED one, unless it brings its own."""
    current, proposed = both(transition)
    if proposed.details.scheduled_time is None:
        proposed.details.scheduled_time = current.details.scheduled_time


def wait_for_scheduled_time(transition: Transition[Any]) -> None:
    """No run starts before its time; up to half a second early is in time."""
    current, _ = both(transition)
    scheduled = current.details.scheduled_time
    if scheduled is None:
        return
    now = transition.mint.now()
    if scheduled <= now:
        return
    early = parse(scheduled) - parse(now)
    delay_s = early.days * 86_400 + early.seconds + round(early.microseconds / 1e6)
    if delay_s > 0:
        transition.delay(delay_s, f"This run is scheduled for {scheduled}.")


def both(transition: Transition[Any]) -> tuple[State, State]:
    """The current and the proposed state, for rules that govern only transitions with both."""
    current, proposed = transition.current, transition.proposed
    assert current is not None
    assert proposed is not None
    return current, proposed


def awaiting_retry(transition: Transition[Any], failed: State, delay_s: float) -> State:
    """The state that a failure with retries left becomes; it keeps message and data."""
    try:
        scheduled = shift(transition.mint.now(), delay_s)
    except OverflowError:
        scheduled = LATEST
    return transition.new_state(
        "SCHEDULED",
        "AwaitingRetry",
        failed.message,
        failed.data,
        SparseStateDetails(scheduled_time=scheduled),
    )


def is_unpersisted(data: Any) -> bool:
    """Whether a state's data only says that a result exists and was not kept."""
    data = decoded(data)
    return isinstance(data, dict) and data.get("type") == "unpersisted"


def decoded(data: Any) -> Any:
    """A state's data as a JSON value, also where it came from storage as text."""
    return msgspec.json.decode(data) if isinstance(data, msgspec.Raw) else data
