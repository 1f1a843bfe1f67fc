"""Every transition of a task run, from every type and from none, for every policy."""

from __future__ import annotations

import pytest
from rules_bench import (
    RESULT,
    UNPERSISTED,
    cells,
    current_state,
    marks,
    task_run,
    verdict,
)

from lictor.schema.rules import policies
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.rules.world import FlowRunOfTask

# Within a flow run that runs; no result, no cache, no retries, nothing due later.
CORE = """
none         -   -   -   -   -   -   -   -   -
SCHEDULED    -   -   -   -   -   -   -   -   -
PENDING      -   -   -   -   -   -   -   -   -
RUNNING      -   -   -   -   -   -   -   -   -
PAUSED       -   -   -   -   -   -   -   -   -
CANCELLING   -   -   -   -   -   -   -   -   -
CANCELLED    -   -   -   !   !   -   -   !   -
COMPLETED    -   -   -   !   !   -   -   !   -
FAILED       -   -   -   !   !   -   -   !   -
CRASHED      -   -   -   !   !   -   -   !   -
"""

BACKGROUND = """
none         -   -   -   -   -   -   -   -   -
SCHEDULED    -   -   -   -   -   -   -   -   -
PENDING      -   !   -   -   -   -   -   -   -
RUNNING      -   !   -   -   -   -   -   -   -
PAUSED       -   -   -   -   -   -   -   -   -
CANCELLING   -   !   -   -   -   -   -   -   -
CANCELLED    -   !   -   !   !   -   -   !   -
COMPLETED    -   -   -   !   !   -   -   !   -
FAILED       -   -   -   !   !   -   -   !   -
CRASHED      -   -   -   !   !   -   -   !   -
"""

MARKS = {"REJECT": "x", "ABORT": "!", "WAIT": "w"}


def mark(transition, to_type: str) -> str:
    status, written = verdict(transition)
    if status == "ACCEPT":
        assert written == to_type
        return "-"
    assert written is None
    assert transition.validated is transition.current
    return MARKS[status]


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(CORE))
def test_a_task_run_under_the_core_policy(bench, from_type, to_type, expected):
    current = current_state(bench, from_type)
    transition = bench.task(task_run(), current, bench.state(to_type))
    assert mark(transition, to_type) == expected


@pytest.mark.parametrize(("from_type", "to_type", "expected"), cells(BACKGROUND))
@pytest.mark.parametrize("force", [False, True])
def test_a_background_task_run(bench, from_type, to_type, expected, force):
    current = current_state(bench, from_type)
    policy = policies.task_policy(force, True)
    transition = bench.task(task_run(), current, bench.state(to_type), policy)
    assert mark(transition, to_type) == expected


@pytest.mark.parametrize("from_type", [None, *STATE_TYPES])
@pytest.mark.parametrize("to_type", STATE_TYPES)
def test_force_accepts_every_transition_of_a_task_run(bench, from_type, to_type):
    bench.world.flow_run = None
    current = current_state(bench, from_type, data=RESULT, scheduled_time=bench.at(60))
    policy = policies.task_policy(True, False)
    assert mark(bench.task(task_run(), current, bench.state(to_type), policy), to_type) == "-"
    assert bench.world.flow_run_lookups == 0


@pytest.mark.parametrize(("to_type", "expected"), marks("x x x ! ! x x ! x"))
@pytest.mark.parametrize("data", [RESULT, "text", [1], 7, {"type": "mine"}])
def test_a_completed_task_with_a_result_of_any_shape_stays_so(bench, to_type, expected, data):
    current = current_state(bench, "COMPLETED", data=data)
    assert mark(bench.task(task_run(), current, bench.state(to_type)), to_type) == expected


@pytest.mark.parametrize("data", [None, UNPERSISTED, {}, [], 0, ""])
def test_a_completed_task_without_a_result_may_run_again(bench, data):
    current = current_state(bench, "COMPLETED", data=data)
    assert mark(bench.task(task_run(), current, bench.state("RUNNING")), "RUNNING") == "-"


@pytest.mark.parametrize(
    ("flow_type", "expected"),
    [
        (None, "!"),
        *[(type_, "!") for type_ in STATE_TYPES if type_ not in ("RUNNING", "PAUSED")],
        ("RUNNING", "-"),
    ],
)
@pytest.mark.parametrize("from_type", [None, *STATE_TYPES])
def test_a_task_starts_only_while_its_flow_runs(bench, from_type, flow_type, expected):
    bench.world.flow_run = FlowRunOfTask(1, flow_type)
    current = current_state(bench, from_type)
    assert mark(bench.task(task_run(), current, bench.state("RUNNING")), "RUNNING") == expected


@pytest.mark.parametrize("flow_type", [None, *STATE_TYPES])
def test_a_background_task_starts_whatever_its_flow_does(bench, flow_type):
    bench.world.flow_run = FlowRunOfTask(1, flow_type)
    transition = bench.task(
        task_run(), bench.state("PENDING"), bench.state("RUNNING"), policies.TASK_BACKGROUND
    )
    assert mark(transition, "RUNNING") == "-"
