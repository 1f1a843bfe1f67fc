"""Why a run is not running: one sentence, and the same as data.

`EXPLAINERS` are asked in order and the first that answers is believed: put a cause before the
states it explains. A new reason to wait (a slot, a paused work pool) is one more function, and what
it needs to know one more field of `Situation`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lictor.config.settings import Settings
from lictor.schema.times import Timestamp, seconds_between, shift
from lictor.schema.wire.explanations import Explanation, Fact
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import TERMINAL, SparseStateDetails


class Parent(msgspec.Struct, frozen=True):
    """The flow run that a subflow belongs to."""

    id: str
    name: str
    state_type: str | None
    state_name: str | None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run at the moment `now`. `state_type` None: it has no state."""

    now: Timestamp
    settings: Settings
    state_type: str | None
    state_name: str
    since: Timestamp
    details: SparseStateDetails
    message: str | None = None
    policy: FlowRunPolicy = msgspec.field(default_factory=FlowRunPolicy)
    next_start: Timestamp | None = None
    run_count: int = 0
    deployment_id: str | None = None
    last_heartbeat: Timestamp | None = None
    parent: Parent | None = None

    @property
    def waits_s(self) -> float:
        """Seconds in this state so far."""
        return max(0.0, seconds_between(self.since, self.now))

    def is_past(self, moment: Timestamp | None) -> bool:
        """Whether there is such a moment, and it is over."""
        return moment is not None and moment <= self.now


Explainer = Callable[[Situation], Explanation | None]


def explain(situation: Situation) -> Explanation:
    """The first answer that one of `EXPLAINERS` gives."""
    for explainer in EXPLAINERS:
        explanation = explainer(situation)
        if explanation is not None:
            return explanation
    return _because(
        situation, "other", f"The run is {situation.state_name} since {situation.since}."
    )


def without_state(situation: Situation) -> Explanation | None:
    if situation.state_type is not None:
        return None
    return _because(situation, "no_state", "The run has no state yet: nobody has proposed one.")


def finished(situation: Situation) -> Explanation | None:
    if situation.state_type not in TERMINAL:
        return None
    sentence = f"The run has ended: it is {situation.state_name} since {situation.since}."
    if situation.message:
        sentence += f" ({situation.message})"
    return _because(situation, "finished", sentence)


def running(situation: Situation) -> Explanation | None:
    if situation.state_type != "RUNNING":
        return None
    beat = situation.last_heartbeat
    sentence = f"The run is running since {situation.since}"
    if beat is None:
        return _because(situation, "running", f"{sentence}; it has sent no heartbeats.")
    ago = _duration(seconds_between(beat, situation.now))
    return _because(
        situation, "running", f"{sentence}; its last heartbeat came {ago} ago.", last_heartbeat=beat
    )


def cancelling(situation: Situation) -> Explanation | None:
    if situation.state_type != "CANCELLING":
        return None
    sentence = f"The run is being cancelled since {situation.since}"
    if not situation.settings.cancellation_cleanup_enabled:
        return _because(situation, "cancelling", f"{sentence}; its process has not confirmed it.")
    until = shift(situation.since, situation.settings.cancelling_timeout_s)
    return _because(
        situation,
        "cancelling",
        f"{sentence}; if its process does not confirm it, it is declared cancelled at {until}.",
        until=until,
    )


def parent_not_running(situation: Situation) -> Explanation | None:
    parent = situation.parent
    if parent is None or parent.state_type == "RUNNING":
        return None
    state = parent.state_name or "without a state"
    return _because(
        situation,
        "parent_not_running",
        f"The run is a subflow of {parent.name!r}, which is not running but {state}.",
        parent_flow_run_id=parent.id,
        parent_state_type=parent.state_type,
    )


def paused(situation: Situation) -> Explanation | None:
    if situation.state_type != "PAUSED":
        return None
    details = situation.details
    verb = "suspended" if details.pause_reschedule else "paused"
    what = "for input" if details.run_input_keyset else "until somebody resumes it"
    sentence = f"The run is {verb} {what} since {situation.since}"
    until = details.pause_timeout
    end = "; it has no deadline." if until is None else f"; without that it fails at {until}."
    code = "paused_for_input" if details.run_input_keyset else "paused"
    return _because(situation, code, sentence + end, until=until)


def awaiting_retry(situation: Situation) -> Explanation | None:
    if situation.state_type != "SCHEDULED" or situation.state_name != "AwaitingRetry":
        return None
    until = situation.details.scheduled_time
    retries = situation.policy.retries
    attempt = f"attempt {situation.run_count + 1}"
    attempt += "" if retries is None else f" of {retries + 1}"
    in_process = situation.policy.retry_type == "in_process"
    who = "the process of the last attempt" if in_process else "a worker"
    sentence = f"The run waits for {attempt} at {until}, which {who} will make."
    if situation.is_past(until):
        sentence = f"The run was to make {attempt} at {until}, and {who} has not begun it."
    facts: dict[str, Fact] = {"in_process": in_process, "attempt": situation.run_count + 1}
    return _because(situation, "awaiting_retry", sentence, until=until, **facts)


def awaiting_slot(situation: Situation) -> Explanation | None:
    if situation.state_type != "SCHEDULED" or situation.state_name != "AwaitingConcurrencySlot":
        return None
    until = situation.details.scheduled_time
    return _because(
        situation,
        "awaiting_slot",
        "The run waits for a slot of its deployment's concurrency limit; it will be tried again at"
        f" {until}.",
        until=until,
    )


def scheduled(situation: Situation) -> Explanation | None:
    if situation.state_type != "SCHEDULED":
        return None
    at = situation.next_start or situation.details.scheduled_time or situation.since
    if not situation.is_past(at):
        left = _duration(seconds_between(situation.now, at))
        return _because(
            situation,
            "scheduled",
            f"The run waits for its scheduled time {at}, in {left}.",
            until=at,
        )
    late = _duration(seconds_between(at, situation.now))
    if situation.deployment_id is None:
        who = "it has no deployment, so only the process that made it can start it"
    else:
        who = "no worker or serving process has taken it"
    word = "late" if situation.state_name == "Late" else "due"
    return _because(
        situation,
        word,
        f"The run is {word} since {at} ({late}): {who}.",
        due_at=at,
        deployment_id=situation.deployment_id,
    )


def pending(situation: Situation) -> Explanation | None:
    if situation.state_type != "PENDING":
        return None
    waits = _duration(situation.waits_s)
    sentence = (
        f"The run was submitted at {situation.since} ({waits} ago) and its process has not started;"
        " that takes seconds on this machine, minutes where an image is pulled"
    )
    timeout_s = situation.settings.pending_timeout_s
    if not timeout_s:
        return _because(situation, "pending", f"{sentence}.")
    until = shift(situation.since, timeout_s)
    sentence += f". If nothing starts it, it is declared crashed at {until}."
    return _because(situation, "pending", sentence, until=until)


EXPLAINERS: tuple[Explainer, ...] = (
    without_state,
    finished,
    running,
    cancelling,
    parent_not_running,
    paused,
    awaiting_retry,
    awaiting_slot,
    scheduled,
    pending,
)


def _because(
    situation: Situation,
    reason: str,
    sentence: str,
    *,
    until: Timestamp | None = None,
    **facts: Fact,
) -> Explanation:
    return Explanation(
        reason=reason,
        sentence=sentence,
        state_type=situation.state_type,
        state_name=situation.state_name,
        since=situation.since,
        until=until,
        facts=facts,
    )


def _duration(seconds: float) -> str:
    """Seconds as people say them: the two greatest units."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])
