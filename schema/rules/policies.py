"""The table of all rules, and of the policies that apply them: which rule governs what, in order.

A policy's order is the Prefect server's. The event of a transition and the mirror of a subflow are
not rules but effects of every written state, and are the commands'.

Source: `prefect.server.orchestration.core_policy`.
"""

from __future__ import annotations

from typing import Any

from lictor.schema.rules import flow_rules, run_rules, slot_rules, task_rules
from lictor.schema.rules.bookkeeping import book_flow_run, book_task_run
from lictor.schema.rules.engine import (
    ANY,
    FlowTransition,
    Policy,
    Rule,
    TaskTransition,
    Transition,
)
from lictor.schema.wire.states import TERMINAL


def _types(*names: str) -> frozenset[str | None]:
    return frozenset(names)


_TERMINAL: frozenset[str | None] = frozenset(TERMINAL)

# Rules of both kinds of runs

PREVENT_PENDING = Rule[Transition[Any]](
    name="PreventPendingTransitions",
    why="A run that is on its way, or was stopped, is not submitted a second time.",
    from_types=_types("PENDING", "CANCELLING", "RUNNING", "CANCELLED"),
    to_types=_types("PENDING"),
    before=run_rules.prevent_pending_transitions,
)
COPY_SCHEDULED_TIME = Rule[Transition[Any]](
    name="CopyScheduledTime",
    why="Submitting a run early does not make it forget its time.",
    from_types=_types("SCHEDULED"),
    to_types=_types("PENDING"),
    before=run_rules.copy_scheduled_time,
)
WAIT_FOR_SCHEDULED_TIME = Rule[Transition[Any]](
    name="WaitForScheduledTime",
    why="No run starts before its time, by the server's clock.",
    from_types=_types("SCHEDULED", "PENDING"),
    to_types=_types("RUNNING"),
    before=run_rules.wait_for_scheduled_time,
)

# Rules of flow runs

PRESERVE_LEASE = Rule[FlowTransition](
    name="PreserveDeploymentConcurrencyLeaseId",
    why="The lease on a deployment's slot is known for as long as the run lives.",
    before=flow_rules.preserve_deployment_concurrency_lease_id,
    transform=True,
)
PREVENT_DUPLICATES = Rule[FlowTransition](
    name="PreventDuplicateTransitions",
    why="A request repeated because its answer was lost changes nothing.",
    before=flow_rules.prevent_duplicate_transitions,
)
FLOW_TERMINAL = Rule[FlowTransition](
    name="HandleFlowTerminalStateTransitions",
    why="A finished run may run again, if no result is lost by it.",
    from_types=_TERMINAL,
    before=flow_rules.handle_flow_terminal_state_transitions,
    cleanup=flow_rules.restore_policy,
)
RESULT_LOSS = Rule[FlowTransition](
    name="PreventResultDataLoss",
    why="A stored result is not overwritten with none, even by force.",
    from_types=_TERMINAL,
    to_types=_TERMINAL,
    before=flow_rules.prevent_result_data_loss,
)
CANCELLING_TO_CANCELLED = Rule[FlowTransition](
    name="EnforceCancellingToCancelledTransition",
    why="A run that is being cancelled can only become CANCELLED.",
    from_types=_types("CANCELLING"),
    to_types=ANY - {"CANCELLED"},
    before=flow_rules.enforce_cancelling_to_cancelled,
)
BYPASS_CANCELLING = Rule[FlowTransition](
    name="BypassCancellingFlowRunsWithNoInfra",
    why="Where there is no infrastructure to stop, cancelling is done at once.",
    from_types=_types("SCHEDULED", "PAUSED"),
    to_types=_types("CANCELLING"),
    before=flow_rules.bypass_cancelling_flow_runs_with_no_infra,
)
VALIDATE_SLOT = Rule[FlowTransition](
    name="ValidateDeploymentConcurrencyAtRunning",
    why="A run whose slot was given to another before it started needs a new one.",
    from_types=_types("PENDING", "PAUSED"),
    to_types=_types("RUNNING"),
    before=slot_rules.validate_deployment_concurrency_at_running,
    cleanup=slot_rules.give_back_flow_slot,
)
SECURE_FLOW_SLOT = Rule[FlowTransition](
    name="SecureFlowConcurrencySlots",
    why="A run is submitted only with a slot of its deployment's limit.",
    from_types=ANY - {"PENDING", "RUNNING", "CANCELLING"},
    to_types=_types("PENDING"),
    before=slot_rules.secure_flow_concurrency_slots,
    cleanup=slot_rules.give_back_flow_slot,
)
OLD_CLIENTS = Rule[FlowTransition](
    name="RemoveDeploymentConcurrencyLeaseForOldClientVersions",
    why="The slot of a client that does not renew its lease is held until the run ends.",
    from_types=_types("PENDING"),
    to_types=_types("RUNNING", "CANCELLING"),
    after=slot_rules.remove_lease_for_old_client_versions,
)
CANCEL_LATE = Rule[FlowTransition](
    name="EnforceDeploymentConcurrencyOnLate",
    why="Where the limit cancels new runs, it cancels those that come too late to start.",
    from_types=_types("SCHEDULED"),
    to_types=_types("SCHEDULED"),
    before=slot_rules.enforce_deployment_concurrency_on_late,
)
RELEASE_FLOW_SLOT = Rule[FlowTransition](
    name="ReleaseFlowConcurrencySlots",
    why="A run that needs its slot no more gives it back, once.",
    after=slot_rules.release_flow_concurrency_slots,
    transform=True,
)
ONLY_SCHEDULED_LATE = Rule[FlowTransition](
    name="EnsureOnlyScheduledFlowsMarkedLate",
    why="Only a SCHEDULED run is late, and it becomes so once.",
    to_types=_types("SCHEDULED"),
    before=flow_rules.ensure_only_scheduled_flows_marked_late,
)
PAUSING = Rule[FlowTransition](
    name="HandlePausingFlows",
    why="Only a RUNNING run pauses, and at each of its pauses once.",
    to_types=_types("PAUSED"),
    before=flow_rules.handle_pausing_flows,
    after=flow_rules.remember_pause,
)
RESUMING = Rule[FlowTransition](
    name="HandleResumingPausedFlows",
    why="A pause is left before its deadline, and resuming is not a new attempt.",
    from_types=_types("PAUSED"),
    before=flow_rules.handle_resuming_paused_flows,
    after=flow_rules.mark_resuming,
)
RETRY_FLOWS = Rule[FlowTransition](
    name="RetryFailedFlows",
    why="A failure with retries left becomes a wait for the next attempt.",
    from_types=_types("RUNNING"),
    to_types=_types("FAILED"),
    before=flow_rules.retry_failed_flows,
)

# Rules of task runs

CACHE_RETRIEVAL = Rule[TaskTransition](
    name="CacheRetrieval",
    why="What was computed under the same cache key is not computed again.",
    to_types=_types("RUNNING"),
    before=task_rules.cache_retrieval,
)
TASK_TERMINAL = Rule[TaskTransition](
    name="HandleTaskTerminalStateTransitions",
    why="A finished task may run again, if no result is lost by it.",
    from_types=_TERMINAL,
    before=task_rules.handle_task_terminal_state_transitions,
    cleanup=task_rules.restore_run_count,
)
STOPPED_FLOWS = Rule[TaskTransition](
    name="PreventRunningTasksFromStoppedFlows",
    why="A task runs only while its flow runs.",
    to_types=_types("RUNNING"),
    before=task_rules.prevent_running_tasks_from_stopped_flows,
)
SECURE_TASK_SLOTS = Rule[TaskTransition](
    name="SecureTaskConcurrencySlots",
    why="A task runs only with a slot of the limit on each of its tags.",
    to_types=_types("RUNNING"),
    before=slot_rules.secure_task_concurrency_slots,
    cleanup=slot_rules.give_back_task_slots,
)
RELEASE_TASK_SLOTS = Rule[TaskTransition](
    name="ReleaseTaskConcurrencySlots",
    why="A task that neither runs nor is being stopped gives back the slots on its tags.",
    after=slot_rules.release_task_concurrency_slots,
    transform=True,
)
COPY_PARAMETERS_ID = Rule[TaskTransition](
    name="CopyTaskParametersID",
    why="A background task keeps its parameters on the way to RUNNING.",
    from_types=_types("SCHEDULED", "PENDING"),
    to_types=_types("PENDING", "RUNNING"),
    before=task_rules.copy_task_parameters_id,
)
RETRY_TASKS = Rule[TaskTransition](
    name="RetryFailedTasks",
    why="A failure with retries left becomes a wait for the next attempt.",
    from_types=_types("RUNNING"),
    to_types=_types("FAILED"),
    before=task_rules.retry_failed_tasks,
)
RENAME_RERUNS = Rule[TaskTransition](
    name="RenameReruns",
    why="A further attempt is recognised by its name.",
    to_types=_types("RUNNING"),
    before=task_rules.rename_reruns,
)
FLOW_RUN_TRACKER = Rule[TaskTransition](
    name="UpdateFlowRunTrackerOnTasks",
    why="A task run knows in which attempt of its flow run it ran.",
    to_types=_types("RUNNING"),
    after=task_rules.update_flow_run_tracker,
)
CACHE_INSERTION = Rule[TaskTransition](
    name="CacheInsertion",
    why="A completed state is found again under its cache key.",
    to_types=_types("COMPLETED"),
    before=task_rules.check_cache_key,
    after=task_rules.insert_into_cache,
)
ENQUEUE = Rule[TaskTransition](
    name="EnqueueScheduledTasks",
    why="A background task that became SCHEDULED is delivered to a worker.",
    to_types=_types("SCHEDULED"),
    after=task_rules.enqueue_scheduled_tasks,
)

# Policies

FLOW_CORE = Policy[FlowTransition](
    "CoreFlowPolicy",
    book_flow_run,
    (
        PRESERVE_LEASE,
        PREVENT_DUPLICATES,
        FLOW_TERMINAL,
        CANCELLING_TO_CANCELLED,
        BYPASS_CANCELLING,
        PREVENT_PENDING,
        VALIDATE_SLOT,
        SECURE_FLOW_SLOT,
        OLD_CLIENTS,
        ONLY_SCHEDULED_LATE,
        PAUSING,
        RESUMING,
        COPY_SCHEDULED_TIME,
        WAIT_FOR_SCHEDULED_TIME,
        RETRY_FLOWS,
        RELEASE_FLOW_SLOT,
    ),
)
FLOW_MINIMAL = Policy[FlowTransition](
    "MinimalFlowPolicy",
    book_flow_run,
    (PRESERVE_LEASE, RESULT_LOSS, BYPASS_CANCELLING, RELEASE_FLOW_SLOT),
)
FLOW_MARK_LATE = Policy[FlowTransition](
    "MarkLateRunsPolicy", book_flow_run, (ONLY_SCHEDULED_LATE, CANCEL_LATE)
)

TASK_CORE = Policy[TaskTransition](
    "CoreTaskPolicy",
    book_task_run,
    (
        CACHE_RETRIEVAL,
        TASK_TERMINAL,
        STOPPED_FLOWS,
        SECURE_TASK_SLOTS,
        COPY_SCHEDULED_TIME,
        WAIT_FOR_SCHEDULED_TIME,
        RETRY_TASKS,
        RENAME_RERUNS,
        FLOW_RUN_TRACKER,
        CACHE_INSERTION,
        RELEASE_TASK_SLOTS,
    ),
)
TASK_BACKGROUND = Policy[TaskTransition](
    "BackgroundTaskPolicy",
    book_task_run,
    (
        PREVENT_PENDING,
        CACHE_RETRIEVAL,
        TASK_TERMINAL,
        COPY_SCHEDULED_TIME,
        COPY_PARAMETERS_ID,
        WAIT_FOR_SCHEDULED_TIME,
        RETRY_TASKS,
        RENAME_RERUNS,
        FLOW_RUN_TRACKER,
        CACHE_INSERTION,
        RELEASE_TASK_SLOTS,
        ENQUEUE,
    ),
)
TASK_MINIMAL = Policy[TaskTransition]("MinimalTaskPolicy", book_task_run, (RELEASE_TASK_SLOTS,))

POLICIES: tuple[Policy[Any], ...] = (
    FLOW_CORE,
    FLOW_MINIMAL,
    FLOW_MARK_LATE,
    TASK_CORE,
    TASK_BACKGROUND,
    TASK_MINIMAL,
)
"""Every policy, for a page that draws them and a test that walks them."""


def flow_policy(force: bool) -> Policy[FlowTransition]:
    """The policy of a proposed flow run state."""
    return FLOW_MINIMAL if force else FLOW_CORE


def task_policy(force: bool, deferred: bool | None) -> Policy[TaskTransition]:
    """The policy of a proposed task run state; a deferred one has its own, forced or not."""
    if deferred:
        return TASK_BACKGROUND
    return TASK_MINIMAL if force else TASK_CORE
