"""What is done to a run whose deadline has passed: one decision, in one transaction.

Each function looks at the run as its transaction finds it and does nothing unless the deadline
still holds, so whatever was committed before wins: a run that ended stays as it ended.

Source: `prefect.server.services.{late_runs,pause_expirations,cancellation_cleanup}`; the deadlines
of PENDING and of heartbeats are lictor's own.
"""

from __future__ import annotations

from typing import NamedTuple

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import flow_runs, proposals, task_runs, teardowns
from lictor.schema.errors import Missing
from lictor.schema.mint import Mint
from lictor.schema.rules import policies
from lictor.schema.rules.engine import FlowTransition, Policy
from lictor.schema.rules.records import State
from lictor.schema.tables import deadlines as table
from lictor.schema.times import Timestamp, shift
from lictor.schema.wire.states import TERMINAL, SparseStateDetails, StateType

CLEANUP_S = (50.0, 540.0, 3000.0, 82_800.0)
"""Seconds between two looks at what a cancelled run has left, after the first: what was reported
late, in the end a day after the cancellation, is found as well."""
CHILDREN_MAX = 100
"""Task runs, and subflows, of a cancelled run that one transaction takes further."""
PARENT_CANCELLED = "The parent flow run was cancelled."


class Clock(NamedTuple):
    """What decisions on time are made with."""

    mint: Mint
    settings: Settings

    def passed(self, moment: Timestamp | None, lag_s: float) -> bool:
        """Whether `moment` was `lag_s` seconds ago or longer."""
        return moment is not None and moment <= shift(self.mint.now(), -lag_s)


def mark_late(tx: Tx, id_: str, clock: Clock) -> bool:
    """Name a run late that nobody has taken; whether it was."""
    loaded = _load(tx, id_, "SCHEDULED")
    if loaded is None or loaded.run.state_name != "Scheduled":
        return False
    scheduled = loaded.run.next_scheduled_start_time
    if not clock.passed(scheduled, clock.settings.late_runs_after_s):
        return False
    details = SparseStateDetails(scheduled_time=scheduled)
    late = _state(clock, "SCHEDULED", None, "Late", details)
    return _propose(tx, policies.FLOW_MARK_LATE, loaded, late, clock)


def expire_pause(tx: Tx, id_: str, clock: Clock) -> bool:
    """Fail a paused run that nobody resumed in time; whether it was."""
    loaded = _load(tx, id_, "PAUSED")
    if loaded is None or loaded.current is None:
        return False
    if not clock.passed(loaded.current.details.pause_timeout, 0.0):
        return False
    failed = _state(clock, "FAILED", "The flow was paused and never resumed.")
    return _propose(tx, policies.FLOW_MINIMAL, loaded, failed, clock)


def end_cancelling(tx: Tx, id_: str, clock: Clock) -> bool:
    """Declare a run CANCELLED that was to be stopped and has not said that it did; whether so.

    A worker is told, in the same transaction, to stop what may be left of it.
    """
    loaded = _load(tx, id_, "CANCELLING")
    timeout_s = clock.settings.cancelling_timeout_s
    if loaded is None or not clock.passed(loaded.run.state_timestamp, timeout_s):
        return False
    message = (
        f"Cancelling was not confirmed within {timeout_s:g} s; the run was marked as cancelled."
    )
    cancelled = _state(clock, "CANCELLED", message)
    if not _propose(tx, policies.FLOW_CORE, loaded, cancelled, clock):
        return False
    if loaded.run.state_id == cancelled.id:
        teardowns.of_cancelled_run(tx, id_, cancelled.id, clock.mint)
    return True


def end_pending(tx: Tx, id_: str, clock: Clock) -> bool:
    """Declare a run CRASHED that was submitted and never started; whether it was."""
    loaded = _load(tx, id_, "PENDING")
    timeout_s = clock.settings.pending_timeout_s
    if loaded is None or not clock.passed(loaded.run.state_timestamp, timeout_s):
        return False
    message = f"The run was submitted and did not start within {timeout_s:g} s."
    return _propose(tx, policies.FLOW_CORE, loaded, _state(clock, "CRASHED", message), clock)


def end_silent(tx: Tx, id_: str, seq: int, silent_s: float, clock: Clock) -> bool:
    """Declare a RUNNING run CRASHED whose last heartbeat was event `seq`; whether it was."""
    loaded = _load(tx, id_, "RUNNING")
    if loaded is None or table.has_beaten_after(tx, id_, seq):
        return False
    message = f"No heartbeat for {silent_s:g} s: the process of this run seems to be gone."
    return _propose(tx, policies.FLOW_CORE, loaded, _state(clock, "CRASHED", message), clock)


class Children(NamedTuple):
    """Runs below a cancelled one, as a reader found them."""

    task_run_ids: list[str]
    subflow_ids: list[str]

    @property
    def are_all(self) -> bool:
        """Whether there were no more of them."""
        return max(len(self.task_run_ids), len(self.subflow_ids)) < CHILDREN_MAX


def cancel_children(tx: Tx, id_: str, children: Children, clock: Clock) -> bool:
    """Let task runs and subflows follow a cancelled run; whether there were any.

    A subflow that is a run of a deployment has infrastructure of its own, which is to be stopped:
    it becomes CANCELLING. The next look at the run is set.
    """
    row = tx.one("SELECT passes, due FROM flow_run_cleanup WHERE flow_run_id = ?", (id_,))
    if row is None:
        return False
    # Subflows first: the task runs that stand for them then say what the subflow says.
    ended = [_cancel_subflow(tx, each, clock) for each in children.subflow_ids]
    ended += [_cancel_task_run(tx, each, clock) for each in children.task_run_ids]
    passes, due = row
    if not children.are_all:
        return any(ended)
    if passes < len(CLEANUP_S):
        tx.run(
            "UPDATE flow_run_cleanup SET passes = passes + 1, due = ? WHERE flow_run_id = ?",
            (shift(due, CLEANUP_S[passes]), id_),
        )
    else:
        tx.run("DELETE FROM flow_run_cleanup WHERE flow_run_id = ?", (id_,))
    return any(ended)


def _cancel_subflow(tx: Tx, id_: str, clock: Clock) -> bool:
    loaded = _load(tx, id_)
    if loaded is None or loaded.run.state_type in TERMINAL:
        return False
    if loaded.run.deployment_id is None:
        proposed = _state(clock, "CANCELLED", PARENT_CANCELLED)
    elif loaded.run.state_type == "CANCELLING":
        return False
    else:
        proposed = _state(clock, "CANCELLING", PARENT_CANCELLED)
    return _propose(tx, policies.FLOW_MINIMAL, loaded, proposed, clock)


def _cancel_task_run(tx: Tx, id_: str, clock: Clock) -> bool:
    row = tx.one("SELECT state_type FROM task_run WHERE id = ?", (id_,))
    if row is None or row[0] in TERMINAL:
        return False
    cancelled = _state(clock, "CANCELLED", PARENT_CANCELLED)
    task_runs.propose(tx, policies.TASK_MINIMAL, id_, cancelled, clock.mint, clock.settings)
    return True


def _load(tx: Tx, id_: str, type_: StateType | None = None) -> flow_runs.Loaded | None:
    """The run, if it exists and is in a state of this type."""
    try:
        loaded = flow_runs.load(tx, id_)
    except Missing:
        return None
    return loaded if type_ is None or loaded.run.state_type == type_ else None


def _state(
    clock: Clock,
    type_: StateType,
    message: str | None,
    name: str | None = None,
    details: SparseStateDetails | None = None,
) -> State:
    mint = clock.mint
    return State(
        mint.id(),
        type_,
        name or proposals.DEFAULT_NAMES[type_],
        mint.now(),
        message,
        None,
        details or SparseStateDetails(),
    )


def _propose(
    tx: Tx,
    policy: Policy[FlowTransition],
    loaded: flow_runs.Loaded,
    proposed: State,
    clock: Clock,
) -> bool:
    transition = flow_runs.propose(tx, policy, loaded, proposed, clock.mint, clock.settings)
    return transition.proposed is not None
