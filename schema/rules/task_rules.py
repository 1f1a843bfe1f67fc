"""The rules of task runs. Each function is a hook of the rule of the same name in `policies.py`.

The rules on tag concurrency are not among them: they work on slots, not on states.
Source: `prefect.server.orchestration.core_policy`.
"""

from __future__ import annotations

from lictor.schema.errors import Missing
from lictor.schema.rules.engine import TaskTransition
from lictor.schema.rules.intervals import clamped_poisson
from lictor.schema.rules.run_rules import awaiting_retry, both, decoded, is_unpersisted
from lictor.schema.wire.states import TERMINAL, SparseStateDetails
from lictor.schema.wire.task_runs import TaskRunPolicy


def cache_retrieval(transition: TaskTransition) -> None:
    """What was computed under this cache key is not computed again."""
    proposed = transition.proposed
    assert proposed is not None
    key = proposed.details.cache_key
    if not key or proposed.details.refresh_cache:
        return
    mint = transition.mint
    cached = transition.world.cached_state(key, mint.now())
    if cached is None:
        return
    cached.id, cached.timestamp, cached.name = mint.id(), mint.now(), "Cached"
    transition.reject("A state is cached under this key.", cached)


def handle_task_terminal_state_transitions(transition: TaskTransition) -> None:
    """A finished task runs again only if no result is lost; its retries start afresh."""
    current, proposed = both(transition)
    run = transition.run
    transition.run_count_before = run.run_count
    if proposed.type in ("CANCELLING", "PAUSED", "CRASHED"):
        transition.abort(f"This run is already {current.type}.")
        return
    if current.type == "COMPLETED" and decoded(current.data) and not is_unpersisted(current.data):
        transition.reject("This run is already COMPLETED and has a result.")
        return
    if proposed.type not in TERMINAL:
        run.run_count = 0
    if proposed.type == "RUNNING":
        flow_run = transition.flow_run()
        if flow_run is not None and run.flow_run_run_count < flow_run.run_count:
            proposed.name = "Retrying"


def restore_run_count(transition: TaskTransition) -> None:
    """Take back what leaving the terminal state has done to the run count."""
    transition.run.run_count = transition.run_count_before


def prevent_running_tasks_from_stopped_flows(transition: TaskTransition) -> None:
    """Tasks run while their flow runs; while it is paused they wait."""
    flow_run = transition.flow_run()
    if flow_run is None or flow_run.state_type == "RUNNING":
        return
    if flow_run.state_type != "PAUSED":
        state = flow_run.state_type or "without a state"
        transition.abort(f"The flow run of this task run is {state}, not RUNNING.")
        return
    transition.reject(
        "The flow run of this task run is paused.",
        transition.new_state(
            "PAUSED",
            "NotReady",
            details=SparseStateDetails(
                pause_timeout=flow_run.pause_timeout, pause_reschedule=flow_run.pause_reschedule
            ),
        ),
    )


def copy_task_parameters_id(transition: TaskTransition) -> None:
    """A background task keeps the id of its parameters from SCHEDULED to RUNNING."""
    current, proposed = both(transition)
    if proposed.details.task_parameters_id is None:
        proposed.details.task_parameters_id = current.details.task_parameters_id


def retry_failed_tasks(transition: TaskTransition) -> None:
    """A failure with retries left is a wait for the next attempt, unless the client says no."""
    _, proposed = both(transition)
    run = transition.run
    retries = run.empirical_policy.retries
    if proposed.details.retriable is False or retries is None or run.run_count > retries:
        return
    delay_s = retry_delay(run.empirical_policy, run.run_count)
    factor = run.empirical_policy.retry_jitter_factor
    if factor and delay_s > 0:
        delay_s = clamped_poisson(transition.mint.random, delay_s, factor)
    transition.reject(
        f"Attempt {run.run_count} failed; there are retries left.",
        awaiting_retry(transition, proposed, delay_s),
    )


def retry_delay(policy: TaskRunPolicy, run_count: int) -> float:
    """Seconds to wait after attempt `run_count`; a list's last entry serves all that follow."""
    delay = policy.retry_delay
    if isinstance(delay, list):
        return delay[min(max(run_count - 1, 0), len(delay) - 1)] if delay else 0
    return delay or 0


def rename_reruns(transition: TaskTransition) -> None:
    """A further attempt is called so: Retrying after a failure, else Rerunning."""
    current, proposed = transition.current, transition.proposed
    assert proposed is not None
    if current is not None and transition.run.run_count > 0:
        proposed.name = "Retrying" if current.name == "AwaitingRetry" else "Rerunning"


def update_flow_run_tracker(transition: TaskTransition) -> None:
    """The task run remembers in which attempt of its flow run it ran.

    Raises:
        Missing: the flow run is gone.
    """
    run = transition.run
    if run.flow_run_id is None:
        return
    flow_run = transition.flow_run()
    if flow_run is None:
        raise Missing(
            f"The flow run {run.flow_run_id} of task run {run.id} does not exist any more."
        )
    run.flow_run_run_count = flow_run.run_count


def check_cache_key(transition: TaskTransition) -> None:
    """A key over the limit is refused in the answer; the state is written, as upstream does."""
    proposed = transition.proposed
    assert proposed is not None
    key, length_max = proposed.details.cache_key, transition.settings.task_cache_key_length_max
    if key and len(key) > length_max:
        transition.reject(f"The cache key is longer than {length_max} characters.", proposed)


def insert_into_cache(transition: TaskTransition) -> None:
    """Later runs with this cache key get this state."""
    validated = transition.validated
    assert validated is not None
    details = validated.details
    if details.cache_key:
        transition.world.insert_cache(details.cache_key, details.cache_expiration, validated.id)


def enqueue_scheduled_tasks(transition: TaskTransition) -> None:
    """A background task that became SCHEDULED is handed to a worker that serves it."""
    validated = transition.validated
    assert validated is not None
    if validated.details.deferred:
        run = transition.run
        retry = validated.name == "AwaitingRetry"
        transition.world.enqueue_task_run(run.task_key, run.id, retry=retry)
