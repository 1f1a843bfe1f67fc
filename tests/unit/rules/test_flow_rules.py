"""The rules of flow runs one by one: what the tables of outcomes do not show."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_bench import RESULT, UNPERSISTED, Bench, flow_run, verdict

from lictor.schema import times
from lictor.schema.rules import policies
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.rules.flow_rules import has_persisted_result
from lictor.schema.rules.run_rules import LATEST
from lictor.schema.wire.states import TERMINAL

# Leases and transition ids


@pytest.mark.parametrize("policy", [policies.FLOW_CORE, policies.FLOW_MINIMAL])
def test_a_lease_is_carried_on_unless_the_new_state_brings_one(bench, policy):
    current = bench.state("RUNNING", deployment_concurrency_lease_id="lease-1")
    kept = bench.flow(flow_run(), current, bench.state("RUNNING"), policy)
    assert kept.proposed.details.deployment_concurrency_lease_id == "lease-1"
    brought = bench.state("RUNNING", deployment_concurrency_lease_id="lease-2")
    bench.flow(flow_run(), current, brought, policy)
    assert brought.details.deployment_concurrency_lease_id == "lease-2"


def test_a_terminal_state_keeps_the_lease_too(bench):
    current = bench.state("RUNNING", deployment_concurrency_lease_id="lease-1")
    done = bench.flow(flow_run(), current, bench.state("COMPLETED"))
    assert done.validated.details.deployment_concurrency_lease_id == "lease-1"


@pytest.mark.parametrize("to_type", [type_ for type_ in STATE_TYPES if type_ != "PAUSED"])
def test_a_transition_id_is_used_once_whatever_the_type(bench, to_type):
    current = bench.state("RUNNING", transition_id="t-1")
    again = bench.flow(flow_run(), current, bench.state(to_type, transition_id="t-1"))
    assert verdict(again) == ("REJECT", None)
    assert again.validated is current


def test_other_transition_ids_and_missing_ones_are_no_duplicates(bench):
    for before, after in ((None, None), ("t-1", None), (None, "t-1"), ("t-1", "t-2")):
        current = bench.state("RUNNING", transition_id=before)
        accepted = bench.flow(flow_run(), current, bench.state("RUNNING", transition_id=after))
        assert accepted.status == "ACCEPT"


def test_force_does_not_look_at_transition_ids(bench):
    current = bench.state("RUNNING", transition_id="t-1")
    proposed = bench.state("RUNNING", transition_id="t-1")
    assert bench.flow(flow_run(), current, proposed, policies.FLOW_MINIMAL).status == "ACCEPT"


# Leaving a terminal state


@pytest.mark.parametrize("from_type", sorted(TERMINAL))
@pytest.mark.parametrize(
    ("to_type", "retry_type"), [("SCHEDULED", "reschedule"), ("RUNNING", None)]
)
def test_leaving_a_terminal_state_resets_the_pauses(bench, from_type, to_type, retry_type):
    run = flow_run(
        {"pause_keys": ["a"], "resuming": True, "retry_type": "in_process", "retries": 2},
        deployment_id="deployment",
    )
    bench.flow(run, bench.state(from_type), bench.state(to_type))
    policy = run.empirical_policy
    assert (policy.pause_keys, policy.resuming) == ([], False)
    assert policy.retry_type == retry_type
    assert policy.retries == 2
    assert run.run_count == (1 if to_type == "RUNNING" else 0)


def test_from_one_terminal_state_to_another_nothing_is_reset(bench):
    run = flow_run({"pause_keys": ["a"]})
    policy = run.empirical_policy
    bench.flow(run, bench.state("FAILED"), bench.state("COMPLETED"))
    assert run.empirical_policy is policy


def test_the_policy_is_restored_when_another_rule_refuses_to_leave_the_terminal_state(bench):
    run = flow_run({"pause_keys": ["a"], "retry_type": "in_process"})
    policy = run.empirical_policy
    refused = bench.flow(run, bench.state("CANCELLED"), bench.state("PENDING"))
    assert verdict(refused) == ("ABORT", None)
    assert run.empirical_policy is policy


@pytest.mark.parametrize(
    ("data", "persisted"),
    [
        (RESULT, True),
        ({"any": 1}, True),
        (msgspec.Raw(b'{"type":"reference"}'), True),
        (msgspec.Raw(b'{"type":"unpersisted"}'), False),
        (UNPERSISTED, False),
        (None, False),
        ({}, False),
        ("text", False),
        ([1], False),
    ],
)
def test_what_counts_as_the_stored_result_of_a_flow_run(bench, data, persisted):
    assert has_persisted_result(bench.state("COMPLETED", data=data)) is persisted
    transition = bench.flow(flow_run(), bench.state("COMPLETED", data=data), bench.state("RUNNING"))
    assert transition.status == ("REJECT" if persisted else "ACCEPT")


@pytest.mark.parametrize("to_type", ["FAILED", "CANCELLED"])
def test_a_result_may_be_given_up_for_a_failure(bench, to_type):
    for policy in (policies.FLOW_CORE, policies.FLOW_MINIMAL):
        current = bench.state("COMPLETED", data=RESULT)
        assert bench.flow(flow_run(), current, bench.state(to_type), policy).status == "ACCEPT"


# Cancelling


@pytest.mark.parametrize(
    ("type_", "name", "pid", "reschedule", "at_once"),
    [
        ("SCHEDULED", "Scheduled", None, False, True),
        ("SCHEDULED", "Scheduled", "", False, True),
        ("SCHEDULED", "AwaitingRetry", "host:1", False, False),
        ("SCHEDULED", "Resuming", "host:1", False, True),
        ("PAUSED", "Paused", "host:1", False, False),
        ("PAUSED", "Paused", None, False, False),
        ("PAUSED", "Suspended", "host:1", True, True),
    ],
)
@pytest.mark.parametrize("policy", [policies.FLOW_CORE, policies.FLOW_MINIMAL])
def test_cancelling_without_infrastructure_is_done_at_once(
    bench, type_, name, pid, reschedule, at_once, policy
):
    run = flow_run(infrastructure_pid=pid, deployment_id="deployment")
    current = bench.state(type_, name, pause_reschedule=reschedule)
    bench.clock.advance(3)
    transition = bench.flow(run, current, bench.state("CANCELLING"), policy)
    if at_once:
        assert verdict(transition) == ("REJECT", "CANCELLED")
        assert transition.proposed.name == "Cancelled"
        assert run.end_time == run.state_timestamp == bench.mint.now()
    else:
        assert verdict(transition) == ("ACCEPT", "CANCELLING")
        assert run.end_time is None


# Submitting


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        ("Pending", "Pending", False),
        ("Pending", "Submitting", True),
        ("Submitting", "InfrastructurePending", True),
        ("Submitting", "Submitting", False),
        ("Submitting", "Pending", False),
        ("Pending", "pending", True),
    ],
)
def test_the_steps_of_a_submission_have_different_names(bench, old, new, passes):
    due = bench.at(-5)
    current = bench.state(
        "PENDING", old, scheduled_time=due, deployment_concurrency_lease_id="lease"
    )
    proposed = bench.state("PENDING", new, scheduled_time=bench.at(99))
    transition = bench.flow(flow_run(), current, proposed)
    assert verdict(transition) == (("ACCEPT", "PENDING") if passes else ("ABORT", None))
    if passes:
        assert proposed.details.scheduled_time == due
        assert proposed.details.deployment_concurrency_lease_id == "lease"


def test_a_pending_state_takes_over_the_scheduled_time_unless_it_brings_one(bench):
    current = bench.state("SCHEDULED", scheduled_time=bench.at(60))
    silent = bench.flow(flow_run(), current, bench.state("PENDING")).proposed
    assert silent.details.scheduled_time == bench.at(60)
    own = bench.flow(flow_run(), current, bench.state("PENDING", scheduled_time=bench.at(5)))
    assert own.proposed.details.scheduled_time == bench.at(5)


# Being late


@pytest.mark.parametrize("policy", [policies.FLOW_CORE, policies.FLOW_MARK_LATE])
@pytest.mark.parametrize("from_type", [None, *STATE_TYPES])
def test_only_a_scheduled_run_becomes_late_and_only_once(bench, policy, from_type):
    run = flow_run(deployment_id="deployment")
    current = None if from_type is None else bench.state(from_type)
    late = bench.flow(run, current, bench.state("SCHEDULED", "Late"), policy)
    assert (late.status == "ACCEPT") == (from_type in (None, "SCHEDULED"))
    if from_type == "SCHEDULED":
        again = bench.flow(run, late.validated, bench.state("SCHEDULED", "Late"), policy)
        assert verdict(again) == ("REJECT", None)


# Waiting


@pytest.mark.parametrize(
    ("early_s", "delay_s"),
    [
        (-1, None), (0, None), (0.000001, None), (0.4, None), (0.5, None), (0.500001, 1),
        (1, 1), (1.4, 1), (1.5, 1), (1.6, 2), (2.5, 2), (86_400.7, 86_401),
    ],
)  # fmt: skip
def test_how_long_a_run_that_is_early_waits(bench, early_s, delay_s):
    current = bench.state("SCHEDULED", scheduled_time=bench.at(early_s))
    transition = bench.flow(flow_run(), current, bench.state("RUNNING"))
    assert transition.delay_seconds == delay_s
    assert verdict(transition) == (("ACCEPT", "RUNNING") if delay_s is None else ("WAIT", None))


@given(st.integers(-5_000_000, 5_000_000_000))
def test_a_wait_is_the_rounded_difference_and_never_less_than_a_second(microseconds):
    bench = Bench()
    current = bench.state("PENDING", scheduled_time=bench.at(microseconds / 1e6))
    transition = bench.flow(flow_run(), current, bench.state("RUNNING"))
    if transition.status == "WAIT":
        assert transition.delay_seconds >= 1
        assert abs(transition.delay_seconds - microseconds / 1e6) <= 0.5
    else:
        assert microseconds <= 500_000


def test_the_scheduled_time_of_the_proposed_state_does_not_matter(bench):
    current = bench.state("PENDING")
    proposed = bench.state("RUNNING", scheduled_time=bench.at(60))
    assert bench.flow(flow_run(), current, proposed).status == "ACCEPT"


# Retries


def test_a_failure_with_retries_left_awaits_the_next_attempt(bench):
    run = flow_run(
        {"retries": 1, "retry_delay": 600, "pause_keys": ["k"], "resuming": True}, run_count=1
    )
    current = bench.state("RUNNING", deployment_concurrency_lease_id="lease")
    failed = bench.state("FAILED", "TimedOut", message="boom", data=RESULT)
    retry = bench.flow(run, current, failed)
    assert verdict(retry) == ("REJECT", "SCHEDULED")
    state = retry.proposed
    assert (state.name, state.message, state.data) == ("AwaitingRetry", "boom", RESULT)
    assert state.id != failed.id
    assert state.details.scheduled_time == run.next_scheduled_start_time == bench.at(600)
    assert state.details.deployment_concurrency_lease_id == "lease"
    policy = run.empirical_policy
    assert (policy.pause_keys, policy.resuming, policy.retry_type) == ([], False, "in_process")
    assert run.end_time is None


@pytest.mark.parametrize(
    ("retries", "run_count", "retried"),
    [(None, 1, False), (0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True)],
)
def test_how_many_attempts_a_flow_has(bench, retries, run_count, retried):
    run = flow_run({"retries": retries, "retry_type": "in_process"}, run_count=run_count)
    transition = bench.flow(run, bench.state("RUNNING"), bench.state("FAILED"))
    assert verdict(transition) == (("REJECT", "SCHEDULED") if retried else ("ACCEPT", "FAILED"))
    assert run.empirical_policy.retry_type == ("in_process" if retried else None)


@pytest.mark.parametrize("to_type", ["CRASHED", "CANCELLED", "COMPLETED"])
def test_only_failures_are_retried(bench, to_type):
    run = flow_run({"retries": 9}, run_count=1)
    assert bench.flow(run, bench.state("RUNNING"), bench.state(to_type)).status == "ACCEPT"


def test_a_failure_before_running_or_by_force_is_not_retried(bench):
    run = flow_run({"retries": 9}, run_count=1)
    assert bench.flow(run, bench.state("PENDING"), bench.state("FAILED")).status == "ACCEPT"
    forced = bench.flow(run, bench.state("RUNNING"), bench.state("FAILED"), policies.FLOW_MINIMAL)
    assert forced.status == "ACCEPT"


def test_a_retry_after_the_end_of_time_is_at_the_end_of_time(bench):
    run = flow_run({"retries": 1, "retry_delay": 10**14}, run_count=1)
    retry = bench.flow(run, bench.state("RUNNING"), bench.state("FAILED")).proposed
    assert retry.details.scheduled_time == LATEST == times.text(times.parse(LATEST))


# Subflows


def test_a_subflow_needs_a_mirror_whenever_a_state_is_written(bench):
    subflow = flow_run(parent_task_run_id="parent-task")
    accepted = bench.flow(subflow, bench.state("PENDING"), bench.state("RUNNING"))
    assert accepted.needs_mirror
    assert accepted.proposed.details.task_run_id == "parent-task"
    substituted = bench.flow(subflow, bench.state("SCHEDULED"), bench.state("CANCELLING"))
    assert substituted.status == "REJECT"
    assert substituted.needs_mirror
    refused = bench.flow(subflow, bench.state("RUNNING"), bench.state("PENDING"))
    assert not refused.needs_mirror
    assert not bench.flow(flow_run(), bench.state("PENDING"), bench.state("RUNNING")).needs_mirror
