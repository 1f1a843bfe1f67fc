"""What a written state does to its run, against a model that knows the whole history."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_bench import Bench, flow_run, task_run

from lictor.schema import times
from lictor.schema.rules import policies
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.rules.records import State
from lictor.schema.wire.states import TERMINAL

steps = st.lists(
    st.tuples(st.sampled_from(STATE_TYPES), st.integers(0, 5_000_000)), min_size=1, max_size=12
)


@dataclass
class Told:
    """What the history of a run says about it; nothing here is carried from state to state."""

    history: list[State]

    @property
    def entered(self) -> list[tuple[State | None, State]]:
        return list(zip([None, *self.history[:-1]], self.history, strict=True))

    @property
    def start_time(self) -> str | None:
        started = [s.timestamp for s in self.history if s.type == "RUNNING" or s.type in TERMINAL]
        return started[0] if started else None

    @property
    def end_time(self) -> str | None:
        end = None
        for state in self.history:
            end = (end or state.timestamp) if state.type in TERMINAL else None
        return end

    @property
    def total_run_time(self) -> float:
        return sum(
            times.seconds_between(before.timestamp, after.timestamp)
            for before, after in self.entered
            if before is not None and before.type == "RUNNING"
        )

    @property
    def expected_start_time(self) -> str:
        first = self.history[0]
        return first.details.scheduled_time if first.type == "SCHEDULED" else first.timestamp

    @property
    def next_scheduled_start_time(self) -> str | None:
        last = self.history[-1]
        return last.details.scheduled_time if last.type == "SCHEDULED" else None

    @property
    def run_count(self) -> int:
        return sum(state.type == "RUNNING" for state in self.history)


def check(run, told: Told) -> None:
    last = told.history[-1]
    assert (run.state_id, run.state_type) == (last.id, last.type)
    assert (run.state_name, run.state_timestamp) == (last.name, last.timestamp)
    assert run.start_time == told.start_time
    assert run.end_time == told.end_time
    assert run.total_run_time == pytest.approx(told.total_run_time)
    assert run.expected_start_time == told.expected_start_time
    assert run.next_scheduled_start_time == told.next_scheduled_start_time
    assert run.run_count == told.run_count
    stamps = [state.timestamp for state in told.history]
    assert len(set(stamps)) == len(stamps)


@given(steps)
def test_a_flow_runs_columns_are_what_its_history_says(sequence):
    bench, run, history = Bench(), flow_run(infrastructure_pid="host:1"), []
    for type_, wait_us in sequence:
        bench.clock.advance(wait_us / 1e6)
        current = history[-1] if history else None
        proposed = bench.state(type_, scheduled_time=bench.at(30))
        history.append(bench.flow(run, current, proposed, policies.FLOW_MINIMAL).validated)
        check(run, Told(history))
        assert history[-1].details.flow_run_id == "run"


@given(steps)
def test_a_task_runs_columns_are_what_its_history_says(sequence):
    bench, run, history = Bench(), task_run(), []
    for type_, wait_us in sequence:
        bench.clock.advance(wait_us / 1e6)
        current = history[-1] if history else None
        proposed = bench.state(type_, scheduled_time=bench.at(30))
        history.append(bench.task(run, current, proposed, policies.TASK_MINIMAL).validated)
        check(run, Told(history))
        details = history[-1].details
        assert (details.flow_run_id, details.task_run_id) == ("run", "task")


def test_states_of_one_microsecond_follow_each_other_by_a_microsecond(bench):
    run, state = flow_run(), None
    for count in range(5):
        state = bench.flow(run, state, bench.state("RUNNING")).validated
        assert state.timestamp == bench.at(count / 1e6) == run.state_timestamp
    assert run.total_run_time == pytest.approx(4e-6)


def test_a_clock_that_was_set_back_makes_no_timestamp_twice_and_no_time_negative(bench):
    run = flow_run()
    first = bench.flow(run, None, bench.state("RUNNING")).validated
    bench.clock.advance(10)
    second = bench.flow(run, first, bench.state("RUNNING")).validated
    bench.clock.advance(-10)
    third = bench.flow(run, second, bench.state("RUNNING")).validated
    assert third.timestamp == times.shift(first.timestamp, 1e-6)
    assert run.total_run_time == 10


def test_a_clock_that_was_set_back_may_meet_an_old_state_later(bench):
    run = flow_run()
    bench.clock.advance(10)
    old = bench.flow(run, None, bench.state("RUNNING")).validated
    bench.clock.advance(-10)
    current = bench.flow(run, old, bench.state("RUNNING")).validated
    bench.clock.advance(10)
    met = bench.flow(run, current, bench.state("RUNNING")).validated
    assert current.timestamp < old.timestamp
    assert met.timestamp == times.shift(old.timestamp, 1e-6)


def test_the_first_state_of_a_run_is_not_looked_up(bench):
    class Unasked:
        def has_state_at(self, run_id: str, timestamp: str) -> bool:
            raise AssertionError("asked")

    bench.world.has_state_at = Unasked().has_state_at
    assert bench.flow(flow_run(), None, bench.state("RUNNING")).status == "ACCEPT"


def test_a_refusal_books_nothing(bench):
    run = flow_run(run_count=4)
    current = bench.state("RUNNING")
    before = (run.state_id, run.run_count, run.total_run_time)
    bench.clock.advance(5)
    bench.flow(run, current, bench.state("PENDING"))
    assert (run.state_id, run.run_count, run.total_run_time) == before
    assert run.expected_start_time is None


def test_a_substitute_is_booked_as_what_it_is(bench):
    run = flow_run({"retries": 1, "retry_delay": 60}, run_count=1)
    current = bench.state("RUNNING")
    bench.clock.advance(5)
    bench.flow(run, current, bench.state("FAILED"))
    assert (run.state_type, run.state_name) == ("SCHEDULED", "AwaitingRetry")
    assert run.next_scheduled_start_time == bench.at(60)
    assert run.total_run_time == 5
    assert run.end_time is None


@pytest.mark.parametrize("type_", STATE_TYPES)
@pytest.mark.parametrize("resuming", [False, True])
def test_a_resuming_run_is_not_counted_and_stops_resuming_when_it_runs_or_ends(
    bench, type_, resuming
):
    run = flow_run({"resuming": resuming})
    bench.flow(run, None, bench.state(type_), policies.FLOW_MINIMAL)
    assert run.run_count == (type_ == "RUNNING" and not resuming)
    ends = type_ == "RUNNING" or type_ in TERMINAL
    assert run.empirical_policy.resuming is (resuming and not ends)


def test_a_name_given_by_a_rule_is_the_name_in_the_run(bench):
    run = task_run(run_count=1)
    bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    assert run.state_name == "Rerunning"
