"""What every written state does to its run, whatever the rules were: types, times and counts.

Runs below the rules of every policy, on the state that is to be written (a substitute included),
and sees the run as the rules' `before` hooks left it. That is why a flag that a rule sets in its
`after` counts from the next transition on only.

The mirror of a subflow's state on its parent's task run, and the event, are the caller's: see
`FlowTransition.needs_mirror`.

Source: `prefect.server.orchestration.global_policy`.
"""

from __future__ import annotations

import msgspec

from lictor.schema.rules.engine import FlowTransition, TaskTransition
from lictor.schema.rules.records import FlowRunRecord, State, TaskRunRecord
from lictor.schema.rules.world import FlowWorld, TaskWorld
from lictor.schema.times import seconds_between, shift
from lictor.schema.wire.states import TERMINAL

MICROSECOND_S = 1e-6


def book_flow_run(transition: FlowTransition) -> None:
    """Bring a flow run up to date with its proposed state."""
    run, proposed = transition.run, transition.proposed
    assert proposed is not None
    _make_timestamp_unique(transition.world, run.id, transition.current, proposed)
    _book(run, transition.current, proposed)
    details = proposed.details
    details.flow_run_id = run.id
    if run.parent_task_run_id is not None:
        details.task_run_id = run.parent_task_run_id
    type_ = proposed.type
    resuming = run.empirical_policy.resuming
    if type_ == "RUNNING" and not resuming:
        run.run_count += 1
    if resuming and (type_ == "RUNNING" or type_ in TERMINAL):
        run.empirical_policy = msgspec.structs.replace(run.empirical_policy, resuming=False)


def book_task_run(transition: TaskTransition) -> None:
    """Bring a task run up to date with its proposed state."""
    run, proposed = transition.run, transition.proposed
    assert proposed is not None
    _make_timestamp_unique(transition.world, run.id, transition.current, proposed)
    _book(run, transition.current, proposed)
    details = proposed.details
    details.flow_run_id = run.flow_run_id
    details.task_run_id = run.id
    if proposed.type == "RUNNING":
        run.run_count += 1


def _make_timestamp_unique(
    world: FlowWorld | TaskWorld, run_id: str, current: State | None, proposed: State
) -> None:
    """Move the timestamp on, a microsecond at a time, to one that no state of this run has.

    A state later than the current one is asked for as well: after the clock was set back, the
    current state need not be the latest of the history.
    """
    if current is None:
        return
    while world.has_state_at(run_id, proposed.timestamp):
        proposed.timestamp = shift(proposed.timestamp, MICROSECOND_S)


def _book(run: FlowRunRecord | TaskRunRecord, current: State | None, proposed: State) -> None:
    type_, timestamp = proposed.type, proposed.timestamp
    left = None if current is None else current.type
    run.state_id = proposed.id
    run.state_type = type_
    run.state_name = proposed.name
    run.state_timestamp = timestamp

    if type_ in TERMINAL:
        if run.end_time is None:
            run.end_time = timestamp
            if run.start_time is None:
                run.start_time = timestamp
    else:
        if left in TERMINAL:
            run.end_time = None
        if type_ == "RUNNING" and run.start_time is None:
            run.start_time = timestamp

    if left == "RUNNING":
        assert current is not None
        run.total_run_time += max(0.0, seconds_between(current.timestamp, timestamp))

    scheduled = proposed.details.scheduled_time if type_ == "SCHEDULED" else None
    if run.expected_start_time is None:
        run.expected_start_time = scheduled if type_ == "SCHEDULED" else timestamp
    if left == "SCHEDULED":
        run.next_scheduled_start_time = None
    if type_ == "SCHEDULED":
        run.next_scheduled_start_time = scheduled
