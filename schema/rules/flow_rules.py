"""The rules of flow runs. Each function is a hook of the rule of the same name in `policies.py`.

The rules on deployment concurrency are not among them: they work on slots, not on states.
Source: `prefect.server.orchestration.core_policy`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.schema.rules.engine import FlowTransition
from lictor.schema.rules.records import FlowRunRecord, State
from lictor.schema.rules.run_rules import awaiting_retry, both, decoded
from lictor.schema.wire.states import TERMINAL


def preserve_deployment_concurrency_lease_id(transition: FlowTransition) -> None:
    """Carry the lease on: a worker sends an explicit null, which means "none of mine"."""
    current, proposed = transition.current, transition.proposed
    if current is None or proposed is None:
        return
    lease_id = current.details.deployment_concurrency_lease_id
    if lease_id is not None and proposed.details.deployment_concurrency_lease_id is None:
        proposed.details.deployment_concurrency_lease_id = lease_id


def prevent_duplicate_transitions(transition: FlowTransition) -> None:
    """A request that a client repeats because the answer was lost is not carried out twice."""
    current, proposed = transition.current, transition.proposed
    if current is None or proposed is None:
        return
    transition_id = proposed.details.transition_id
    if transition_id is not None and transition_id == current.details.transition_id:
        transition.reject("This run has already made this transition.")


def handle_flow_terminal_state_transitions(transition: FlowTransition) -> None:
    """A finished run may run again, if that loses no result; its pauses start afresh."""
    current, proposed = both(transition)
    run = transition.run
    transition.policy_before = run.empirical_policy
    if proposed.type in ("CANCELLING", "PAUSED", "CRASHED"):
        transition.abort(f"This run is already {current.type}.")
        return
    finished = proposed.type in TERMINAL
    if not finished and current.type == "COMPLETED" and has_persisted_result(current):
        transition.reject("This run is already COMPLETED and has a result.")
        return
    if loses_result(current, proposed):
        transition.reject("The result of this COMPLETED run would be lost.")
        return
    if proposed.type == "SCHEDULED" and run.deployment_id is None:
        transition.abort("A run without a deployment cannot be scheduled again.")
        return
    if not finished:
        retry_type = "reschedule" if proposed.type == "SCHEDULED" else None
        _change_policy(run, resuming=False, pause_keys=[], retry_type=retry_type)


def restore_policy(transition: FlowTransition) -> None:
    """Take back what leaving the terminal state has done to the policy."""
    transition.run.empirical_policy = transition.policy_before


def prevent_result_data_loss(transition: FlowTransition) -> None:
    """Even when forced, a result is not overwritten with none."""
    current, proposed = both(transition)
    if loses_result(current, proposed):
        transition.reject("The result of this COMPLETED run would be lost.")


def enforce_cancelling_to_cancelled(transition: FlowTransition) -> None:
    """A run that is being cancelled ends CANCELLED and nothing else."""
    transition.reject("This run is being cancelled and can only become CANCELLED.")


def bypass_cancelling_flow_runs_with_no_infra(transition: FlowTransition) -> None:
    """Where no infrastructure is to be torn down, cancelling is done at once."""
    current, _ = both(transition)
    if current.type == "SCHEDULED":
        idle = not transition.run.infrastructure_pid
    else:
        idle = current.details.pause_reschedule
    if idle or current.name == "Resuming":
        transition.reject(
            f"This run is {current.name} and has no infrastructure to stop.",
            transition.new_state("CANCELLED"),
        )


def ensure_only_scheduled_flows_marked_late(transition: FlowTransition) -> None:
    """Late is a name for SCHEDULED runs, given once."""
    current, proposed = transition.current, transition.proposed
    if current is None or proposed is None or proposed.name != "Late":
        return
    if current.type != "SCHEDULED":
        transition.reject(f"This run is {current.type}: only SCHEDULED runs can be late.")
    elif current.name == "Late":
        transition.reject("This run is already marked late.")


def handle_pausing_flows(transition: FlowTransition) -> None:
    """Only a running flow pauses, and at each of its pauses once."""
    current, proposed = transition.current, transition.proposed
    assert proposed is not None
    run = transition.run
    verb = "suspend" if proposed.name == "Suspended" else "pause"
    if current is None:
        transition.abort(f"Cannot {verb} a run without a state.")
        return
    if current.type != "RUNNING":
        transition.reject(f"Cannot {verb} a run that is {current.type}, not RUNNING.")
        return
    key = proposed.details.pause_key
    if key is not None and key in (run.empirical_policy.pause_keys or ()):
        transition.reject(f"The {verb} {key!r} has already happened.")
        return
    if proposed.details.pause_reschedule:
        if run.parent_task_run_id is not None:
            transition.abort(f"Cannot {verb} a subflow.")
            return
        if run.deployment_id is None:
            transition.abort(f"Cannot {verb} a run without a deployment.")
            return
    transition.pause_key = transition.mint.id() if key is None else key


def remember_pause(transition: FlowTransition) -> None:
    """This pause has happened. Input kept under its keys is of an earlier attempt: forget it."""
    run, validated, key = transition.run, transition.validated, transition.pause_key
    assert validated is not None
    assert key is not None
    _change_policy(run, pause_keys=[*(run.empirical_policy.pause_keys or ()), key])
    keyset = validated.details.run_input_keyset
    if keyset:
        transition.world.delete_flow_run_inputs(run.id, keyset.values())


def handle_resuming_paused_flows(transition: FlowTransition) -> None:
    """A pause is left by running, rescheduling, cancelling or ending, and before its deadline."""
    current, proposed = both(transition)
    type_ = proposed.type
    if type_ not in ("RUNNING", "SCHEDULED", "CANCELLING") and type_ not in TERMINAL:
        transition.reject(f"A paused run cannot become {type_}.")
        return
    if current.details.pause_reschedule and transition.run.deployment_id is None:
        transition.reject("A suspended run without a deployment cannot be rescheduled.")
        return
    if type_ == "CANCELLING":
        # The process of a blocking pause still lives, and is to be told, after the deadline too.
        return
    timeout = current.details.pause_timeout
    if timeout is not None and timeout < transition.mint.now():
        transition.reject(
            f"The pause of this run has expired at {timeout}.",
            transition.new_state(
                "FAILED", message=f"The flow was {current.name.lower()} and never resumed."
            ),
        )


def mark_resuming(transition: FlowTransition) -> None:
    """Whatever a paused run does next is not a new attempt, unless it is scheduled anew."""
    current, validated = transition.current, transition.validated
    assert current is not None
    assert validated is not None
    if not current.details.pause_reschedule and validated.type == "SCHEDULED":
        # The process that waited is given up: the run starts from the top and pauses again.
        _change_policy(transition.run, resuming=False, pause_keys=[], retry_type="reschedule")
    else:
        _change_policy(transition.run, resuming=True)


def retry_failed_flows(transition: FlowTransition) -> None:
    """A failure with retries left is a wait for the next attempt, in the same process."""
    current, proposed = both(transition)
    run = transition.run
    policy = run.empirical_policy
    if policy.retries is None or run.run_count > policy.retries:
        _change_policy(run, retry_type=None)
        return
    retry = awaiting_retry(transition, proposed, policy.retry_delay or 0)
    retry.details.deployment_concurrency_lease_id = current.details.deployment_concurrency_lease_id
    _change_policy(run, resuming=False, pause_keys=[], retry_type="in_process")
    transition.reject(f"Attempt {run.run_count} failed; there are retries left.", retry)


def has_persisted_result(state: State) -> bool:
    """Whether a flow run's state refers to a stored result: an object, unless it says otherwise."""
    data = decoded(state.data)
    return isinstance(data, dict) and bool(data) and data.get("type") != "unpersisted"


def loses_result(current: State, proposed: State) -> bool:
    """Whether one COMPLETED state would replace another and drop its result."""
    return (
        current.type == "COMPLETED"
        and proposed.type == "COMPLETED"
        and has_persisted_result(current)
        and (not isinstance(data := decoded(proposed.data), dict) or _unpersisted(data))
    )


def _unpersisted(data: dict[str, Any]) -> bool:
    return data.get("type") == "unpersisted"


def _change_policy(run: FlowRunRecord, **fields: Any) -> None:
    """Give the run a policy with these fields; the same object stays if they are so already."""
    policy = run.empirical_policy
    changed = msgspec.structs.replace(policy, **fields)
    if changed != policy:
        run.empirical_policy = changed
