"""Why a run is not running: each reason in its turn, with the moment it ends."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.config.settings import Settings
from lictor.schema.rules.explanations import Parent, Situation, explain
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import SparseStateDetails

NOW = "2030-01-01T12:00:00.000000Z"
EARLIER = "2030-01-01T11:58:30.000000Z"
LATER = "2030-01-02T13:00:00.000000Z"
PAUSED_PARENT = Parent("the-parent", "mother", "PAUSED", "Paused")
RUNNING_PARENT = Parent("the-parent", "mother", "RUNNING", "Running")


def why(type_: str | None, name: str = "", details: Any = None, **fields: Any) -> Any:
    situation = Situation(
        now=NOW,
        settings=fields.pop("settings", Settings()),
        state_type=type_,
        state_name=name or (type_ or "").capitalize(),
        since=fields.pop("since", EARLIER),
        details=SparseStateDetails(**(details or {})),
        **fields,
    )
    return explain(situation)


@pytest.mark.parametrize(
    ("answer", "reason", "part", "until"),
    [
        (why(None), "no_state", "no state yet", None),
        (why("COMPLETED"), "finished", f"it is Completed since {EARLIER}", None),
        (why("FAILED", message="boom"), "finished", "(boom)", None),
        (why("RUNNING"), "running", "sent no heartbeats", None),
        (why("RUNNING", last_heartbeat=EARLIER), "running", "came 1 min 30 s ago", None),
        (
            why("CANCELLING"),
            "cancelling",
            "declared cancelled at 2030-01-01T12:03:30",
            "2030-01-01T12:03:30.000000Z",
        ),
        (
            why("CANCELLING", settings=Settings(cancellation_cleanup_enabled=False)),
            "cancelling",
            "has not confirmed it",
            None,
        ),
        (why("PAUSED"), "paused", "until somebody resumes it", None),
        (why("PAUSED", details={"pause_timeout": LATER}), "paused", f"fails at {LATER}", LATER),
        (
            why("PAUSED", details={"run_input_keyset": {"schema": "s"}, "pause_timeout": LATER}),
            "paused_for_input",
            "paused for input",
            LATER,
        ),
        (why("PAUSED", "Suspended", {"pause_reschedule": True}), "paused", "is suspended", None),
        (
            why(
                "SCHEDULED",
                "AwaitingRetry",
                {"scheduled_time": LATER},
                run_count=1,
                policy=FlowRunPolicy(retries=2, retry_type="in_process"),
            ),
            "awaiting_retry",
            f"attempt 2 of 3 at {LATER}, which the process of the last attempt",
            LATER,
        ),
        (
            why("SCHEDULED", "AwaitingRetry", {"scheduled_time": EARLIER}, run_count=1),
            "awaiting_retry",
            "a worker has not begun it",
            EARLIER,
        ),
        (
            why("SCHEDULED", "AwaitingConcurrencySlot", {"scheduled_time": LATER}),
            "awaiting_slot",
            "concurrency limit",
            LATER,
        ),
        (why("SCHEDULED", next_start=LATER), "scheduled", "in 1 d 1 h.", LATER),
        (why("SCHEDULED", next_start=EARLIER), "due", "it has no deployment", None),
        (
            why("SCHEDULED", "Late", next_start=EARLIER, deployment_id="d"),
            "late",
            "no worker or serving process has taken it",
            None,
        ),
        (
            why("PENDING"),
            "pending",
            "(1 min 30 s ago) and its process has not started",
            "2030-01-08T11:58:30.000000Z",
        ),
        (why("PENDING", settings=Settings(pending_timeout_s=0)), "pending", "not started", None),
        (why("SCHEDULED", parent=PAUSED_PARENT), "parent_not_running", "'mother'", None),
        (why("SCHEDULED", next_start=LATER, parent=RUNNING_PARENT), "scheduled", "in 1 d", LATER),
        (why("COMPLETED", parent=PAUSED_PARENT), "finished", "ended", None),
    ],
)
def test_the_first_cause_is_told(answer: Any, reason: str, part: str, until: str | None) -> None:
    assert answer.reason == reason
    assert part in answer.sentence
    assert answer.sentence.endswith((".", ")"))
    assert answer.until == until


def test_facts_of_a_reason_come_with_it() -> None:
    assert why("SCHEDULED", parent=PAUSED_PARENT).facts == {
        "parent_flow_run_id": "the-parent",
        "parent_state_type": "PAUSED",
    }
    late = why("SCHEDULED", "Late", next_start=EARLIER, deployment_id="d")
    assert late.facts == {"due_at": EARLIER, "deployment_id": "d"}
