"""Every transition of a flow run, from every type and from none, for every policy.

The tables are written down as outcomes, apart from the rules: `-` accepted, `x` rejected and the
current state kept, `!` aborted, `w` wait, a type: rejected, and a state of that type written.
"""

from __future__ import annotations

import pytest
from rules_bench import (
    RESULT,
    UNPERSISTED,
    Bench,
    cells,
    current_state,
    flow_run,
    marks,
    verdict,
)

from lictor.schema.rules import policies
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.rules.records import FlowRunRecord, State

# An ad-hoc run: no deployment, no infrastructure, no result, no retries, nothing due later.
CORE = """
none         -   -   -   !   -           -   -   -   -
SCHEDULED    -   -   -   x   CANCELLED   -   -   -   -
PENDING      -   !   -   x   -           -   -   -   -
RUNNING      -   !   -   -   -           -   -   -   -
PAUSED       -   x   -   x   -           -   -   -   -
CANCELLING   x   x   x   x   x           x   x   x   -
CANCELLED    !   !   -   !   !           -   -   !   -
COMPLETED    !   -   -   !   !           -   -   !   -
FAILED       !   -   -   !   !           -   -   !   -
CRASHED      !   -   -   !   !           -   -   !   -
"""

MINIMAL = """
none         -   -   -   -   -           -   -   -   -
SCHEDULED    -   -   -   -   CANCELLED   -   -   -   -
PENDING      -   -   -   -   -           -   -   -   -
RUNNING      -   -   -   -   -           -   -   -   -
PAUSED       -   -   -   -   -           -   -   -   -
CANCELLING   -   -   -   -   -           -   -   -   -
CANCELLED    -   -   -   -   -           -   -   -   -
COMPLETED    -   -   -   -   -           -   -   -   -
FAILED       -   -   -   -   -           -   -   -   -
CRASHED      -   -   -   -   -           -   -   -   -
"""


def outcome(bench: Bench, run: FlowRunRecord, current: State | None, to_type: str, policy) -> str:
    transition = bench.flow(run, current, bench.state(to_type), policy)
    status, written = verdict(transition)
    assert (transition.reason is None) == (status == "ACCEPT")
    if status == "ACCEPT":
        assert written == to_type
        return "-"
    if status == "REJECT" and written is not None:
        return written
    assert transition.validated is current
    return {"REJECT": "x", "ABORT": "!", "WAIT": "w"}[status]


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(CORE))
def test_an_ad_hoc_run_under_the_core_policy(bench, from_type, to_type, expected):
    current = current_state(bench, from_type)
    assert outcome(bench, flow_run(), current, to_type, policies.flow_policy(False)) == expected


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(MINIMAL))
def test_an_ad_hoc_run_that_is_forced(bench, from_type, to_type, expected):
    current = current_state(bench, from_type)
    assert outcome(bench, flow_run(), current, to_type, policies.flow_policy(True)) == expected


@pytest.mark.parametrize(("from_type", "to_type", "_expected"), cells(MINIMAL))
def test_marking_late_accepts_every_state_that_is_not_named_late(
    bench, from_type, to_type, _expected
):
    current = current_state(bench, from_type)
    assert outcome(bench, flow_run(), current, to_type, policies.FLOW_MARK_LATE) == "-"


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(CORE))
def test_a_deployment_lets_finished_runs_be_scheduled_again(bench, from_type, to_type, expected):
    run = flow_run(deployment_id="deployment")
    terminal = from_type in ("CANCELLED", "COMPLETED", "FAILED", "CRASHED")
    if terminal and to_type == "SCHEDULED":
        expected = "-"
    current = current_state(bench, from_type)
    assert outcome(bench, run, current, to_type, policies.FLOW_CORE) == expected


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(CORE))
def test_infrastructure_is_cancelled_step_by_step(bench, from_type, to_type, expected):
    run = flow_run(infrastructure_pid="host:1")
    if (from_type, to_type) == ("SCHEDULED", "CANCELLING"):
        expected = "-"
    current = current_state(bench, from_type)
    assert outcome(bench, run, current, to_type, policies.FLOW_CORE) == expected


@pytest.mark.parametrize(
    ("to_type", "expected"),
    marks("x x x ! ! x - ! -"),
)
def test_a_completed_run_with_a_result_is_not_run_again(bench, to_type, expected):
    current = current_state(bench, "COMPLETED", data=RESULT)
    run = flow_run(deployment_id="deployment")
    assert outcome(bench, run, current, to_type, policies.FLOW_CORE) == expected


@pytest.mark.parametrize(("data", "expected"), [(None, "x"), (UNPERSISTED, "x"), (RESULT, "-")])
@pytest.mark.parametrize("force", [False, True])
def test_a_result_is_only_overwritten_by_a_result(bench, data, expected, force):
    current = current_state(bench, "COMPLETED", data=RESULT)
    transition = bench.flow(
        flow_run(), current, bench.state("COMPLETED", data=data), policies.flow_policy(force)
    )
    assert verdict(transition) == (("ACCEPT", "COMPLETED") if expected == "-" else ("REJECT", None))


@pytest.mark.parametrize(
    ("to_type", "expected"),
    marks("FAILED x FAILED x - FAILED FAILED FAILED FAILED"),
)
def test_a_pause_that_has_expired_ends_failed_unless_it_is_cancelled(bench, to_type, expected):
    current = current_state(bench, "PAUSED", pause_timeout=bench.at(0.5))
    transition = bench.flow(flow_run(), current, bench.state(to_type))
    if expected == "FAILED":
        assert verdict(transition) == ("REJECT", "FAILED")
        assert "never resumed" in transition.proposed.message
    else:
        assert verdict(transition) == (("ACCEPT", to_type) if expected == "-" else ("REJECT", None))


@pytest.mark.parametrize("from_type", ["SCHEDULED", "PENDING"])
def test_a_run_that_is_not_due_waits(bench, from_type):
    current = bench.state(from_type, scheduled_time=bench.at(90))
    transition = bench.flow(flow_run(), current, bench.state("RUNNING"))
    assert verdict(transition) == ("WAIT", None)
    assert transition.delay_seconds == 90
    assert transition.validated is current
    assert outcome(bench, flow_run(), current, "RUNNING", policies.FLOW_MINIMAL) == "-"


def test_every_flow_policy_lets_every_transition_of_a_forced_creation_pass(bench):
    for to_type in STATE_TYPES:
        assert outcome(bench, flow_run(), None, to_type, policies.FLOW_MINIMAL) == "-"
