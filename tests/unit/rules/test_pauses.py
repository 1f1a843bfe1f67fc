"""Pausing and suspending flow runs, and all the ways out of it."""

from __future__ import annotations

import pytest
from rules_bench import flow_run, verdict

from lictor.schema.wire.states import TERMINAL

# Pausing


def test_a_pause_happens_once_for_each_key(bench):
    run = flow_run()
    running = bench.state("RUNNING")
    first = bench.flow(run, running, bench.state("PAUSED", pause_key="k"))
    assert first.status == "ACCEPT"
    assert run.empirical_policy.pause_keys == ["k"]
    again = bench.flow(run, running, bench.state("PAUSED", pause_key="k"))
    assert verdict(again) == ("REJECT", None)
    bench.flow(run, running, bench.state("PAUSED", pause_key="l"))
    assert run.empirical_policy.pause_keys == ["k", "l"]


def test_a_pause_without_a_key_gets_one_of_its_own(bench):
    run = flow_run({"pause_keys": None})
    for count in (1, 2):
        assert bench.flow(run, bench.state("RUNNING"), bench.state("PAUSED")).status == "ACCEPT"
        assert len(set(run.empirical_policy.pause_keys)) == count


def test_input_of_an_earlier_attempt_is_forgotten_when_a_pause_begins(bench):
    keyset = {"schema": "k-schema", "response": "k-response"}
    bench.flow(flow_run(), bench.state("RUNNING"), bench.state("PAUSED", run_input_keyset=keyset))
    assert bench.world.inputs_deleted == [("run", ["k-schema", "k-response"])]


def test_a_refused_pause_leaves_no_trace(bench):
    run = flow_run()
    policy = run.empirical_policy
    for current in (None, bench.state("PENDING"), bench.state("PAUSED")):
        proposed = bench.state("PAUSED", pause_key="k", run_input_keyset={"schema": "s"})
        assert bench.flow(run, current, proposed).status != "ACCEPT"
    assert run.empirical_policy is policy
    assert bench.world.inputs_deleted == []


@pytest.mark.parametrize(
    ("columns", "accepted"),
    [
        ({}, False),
        ({"deployment_id": "d"}, True),
        ({"deployment_id": "d", "parent_task_run_id": "t"}, False),
    ],
)
def test_only_a_run_of_a_deployment_that_is_no_subflow_can_be_suspended(bench, columns, accepted):
    proposed = bench.state("PAUSED", "Suspended", pause_reschedule=True)
    transition = bench.flow(flow_run(**columns), bench.state("RUNNING"), proposed)
    assert verdict(transition) == (("ACCEPT", "PAUSED") if accepted else ("ABORT", None))
    if not accepted:
        assert "suspend" in transition.reason


# Leaving a pause


def test_a_blocking_pause_counts_the_first_resumption_and_not_the_next_running(bench):
    run = flow_run(run_count=1)
    resumed = bench.flow(run, bench.state("PAUSED"), bench.state("RUNNING"))
    assert (run.run_count, run.empirical_policy.resuming) == (2, True)
    bench.flow(run, resumed.validated, bench.state("RUNNING"))
    assert (run.run_count, run.empirical_policy.resuming) == (2, False)


def test_a_refused_attempt_to_leave_a_pause_marks_the_run_as_resuming(bench):
    run = flow_run(run_count=1)
    paused = bench.state("PAUSED")
    assert verdict(bench.flow(run, paused, bench.state("PENDING"))) == ("REJECT", None)
    assert run.empirical_policy.resuming is True
    bench.flow(run, paused, bench.state("RUNNING"))
    assert run.run_count == 1


def test_a_suspended_run_is_not_counted_again_when_it_resumes(bench):
    run = flow_run({"pause_keys": ["k"]}, deployment_id="d", run_count=1)
    state = bench.state("PAUSED", "Suspended", pause_reschedule=True)
    for type_, name in (("SCHEDULED", "Resuming"), ("PENDING", None), ("RUNNING", None)):
        assert run.empirical_policy.resuming is (type_ == "PENDING" or type_ == "RUNNING")
        state = bench.flow(run, state, bench.state(type_, name)).validated
    assert run.run_count == 1
    assert run.empirical_policy.resuming is False
    assert run.empirical_policy.pause_keys == ["k"]


def test_a_blocking_pause_that_is_scheduled_anew_starts_from_the_top(bench):
    run = flow_run({"pause_keys": ["k"], "resuming": True})
    bench.flow(run, bench.state("PAUSED"), bench.state("SCHEDULED"))
    policy = run.empirical_policy
    assert (policy.pause_keys, policy.resuming, policy.retry_type) == ([], False, "reschedule")


@pytest.mark.parametrize("to_type", sorted(TERMINAL))
def test_a_pause_that_ends_the_run_marks_it_as_resuming(bench, to_type):
    run = flow_run()
    bench.flow(run, bench.state("PAUSED"), bench.state(to_type))
    assert run.empirical_policy.resuming is True


def test_a_suspended_run_without_a_deployment_cannot_be_rescheduled(bench):
    current = bench.state("PAUSED", pause_reschedule=True)
    assert verdict(bench.flow(flow_run(), current, bench.state("SCHEDULED"))) == ("REJECT", None)


def test_the_deadline_of_a_pause_belongs_to_the_pause(bench):
    current = bench.state("PAUSED", pause_timeout=bench.mint.now())
    assert bench.flow(flow_run(), current, bench.state("RUNNING")).status == "ACCEPT"
    bench.clock.advance(0.000001)
    late = bench.flow(flow_run(), current, bench.state("RUNNING"))
    assert verdict(late) == ("REJECT", "FAILED")
