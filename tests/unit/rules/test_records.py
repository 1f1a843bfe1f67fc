"""The records: what differs between two of them, and a state as an answer."""

from __future__ import annotations

import copy

import msgspec
from rules_bench import NOON, Bench, flow_run, task_run

from lictor.schema.rules.records import changes
from lictor.schema.tables.runs import flow_run_policy


def test_a_transition_changes_only_the_columns_it_concerns(bench):
    run = flow_run()
    first = bench.flow(run, None, bench.state("PENDING")).validated
    bench.clock.advance(1)
    before = copy.copy(run)
    started = bench.flow(run, first, bench.state("RUNNING")).validated
    assert changes(before, run) == {
        "state_id": started.id,
        "state_type": "RUNNING",
        "state_name": "Running",
        "state_timestamp": bench.mint.now(),
        "run_count": 1,
        "start_time": bench.mint.now(),
    }


def test_a_column_that_becomes_null_is_a_change(bench):
    run = flow_run()
    first = bench.flow(run, None, bench.state("SCHEDULED")).validated
    assert run.expected_start_time == run.next_scheduled_start_time == NOON
    before = copy.copy(run)
    bench.flow(run, first, bench.state("PENDING"))
    assert changes(before, run)["next_scheduled_start_time"] is None
    assert "expected_start_time" not in changes(before, run)


def test_a_policy_that_a_rule_changed_is_stored_sparse_and_reads_back_whole(bench):
    run = flow_run({"retries": 2})
    before = copy.copy(run)
    bench.flow(run, bench.state("RUNNING"), bench.state("PAUSED", pause_key="k"))
    stored = changes(before, run)["empirical_policy"]
    assert msgspec.json.decode(stored) == {"retries": 2, "pause_keys": ["k"]}
    assert msgspec.json.decode(flow_run_policy(stored)) == {
        "max_retries": 0,
        "retry_delay_seconds": 0.0,
        "retries": 2,
        "retry_delay": None,
        "pause_keys": ["k"],
        "resuming": False,
        "retry_type": None,
    }


def test_a_policy_that_a_rule_only_confirmed_is_not_written(bench):
    run = flow_run()
    before = copy.copy(run)
    bench.flow(run, bench.state("RUNNING"), bench.state("FAILED"))
    assert run.empirical_policy is before.empirical_policy
    assert "empirical_policy" not in changes(before, run)


def test_the_record_of_before_is_not_touched_by_a_pause(bench):
    run = flow_run({"pause_keys": ["a"]})
    before = copy.copy(run)
    bench.flow(run, bench.state("RUNNING"), bench.state("PAUSED", pause_key="b"))
    assert before.empirical_policy.pause_keys == ["a"]


def test_the_attempt_of_the_flow_is_a_column_of_task_runs(bench):
    run = task_run()
    before = copy.copy(run)
    bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    assert changes(before, run)["flow_run_run_count"] == 1
    assert changes(run, run) == {}


def test_a_state_as_an_answer_keeps_everything():
    bench = Bench()
    state = bench.state("FAILED", "TimedOut", message="late", data=[1], traceparent="trace")
    wire = state.to_wire()
    assert (wire.id, wire.type, wire.name) == (state.id, "FAILED", "TimedOut")
    assert (wire.timestamp, wire.message, wire.data) == (NOON, "late", [1])
    assert wire.state_details.traceparent == "trace"
