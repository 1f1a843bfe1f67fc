"""The table of rules, against what is known of the Prefect server's."""

from __future__ import annotations

import pytest

from lictor.schema.rules import policies
from lictor.schema.rules.engine import ANY, STATE_TYPES
from lictor.schema.wire.states import TERMINAL

# Every rule of the Prefect server 3.9.1, in the order of its policies.
UPSTREAM = {
    "CoreFlowPolicy": """
        PreserveDeploymentConcurrencyLeaseId PreventDuplicateTransitions
        HandleFlowTerminalStateTransitions EnforceCancellingToCancelledTransition
        BypassCancellingFlowRunsWithNoInfra PreventPendingTransitions
        ValidateDeploymentConcurrencyAtRunning SecureFlowConcurrencySlots
        RemoveDeploymentConcurrencyLeaseForOldClientVersions EnsureOnlyScheduledFlowsMarkedLate
        HandlePausingFlows HandleResumingPausedFlows CopyScheduledTime WaitForScheduledTime
        RetryFailedFlows InstrumentFlowRunStateTransitions ReleaseFlowConcurrencySlots
    """,
    "MinimalFlowPolicy": """
        PreserveDeploymentConcurrencyLeaseId PreventResultDataLoss
        BypassCancellingFlowRunsWithNoInfra InstrumentFlowRunStateTransitions
        ReleaseFlowConcurrencySlots
    """,
    "MarkLateRunsPolicy": """
        EnsureOnlyScheduledFlowsMarkedLate EnforceDeploymentConcurrencyOnLate
        InstrumentFlowRunStateTransitions
    """,
    "CoreTaskPolicy": """
        CacheRetrieval HandleTaskTerminalStateTransitions PreventRunningTasksFromStoppedFlows
        SecureTaskConcurrencySlots CopyScheduledTime WaitForScheduledTime RetryFailedTasks
        RenameReruns UpdateFlowRunTrackerOnTasks CacheInsertion ReleaseTaskConcurrencySlots
    """,
    "BackgroundTaskPolicy": """
        PreventPendingTransitions CacheRetrieval HandleTaskTerminalStateTransitions
        CopyScheduledTime CopyTaskParametersID WaitForScheduledTime RetryFailedTasks RenameReruns
        UpdateFlowRunTrackerOnTasks CacheInsertion ReleaseTaskConcurrencySlots
        EnqueueScheduledTasks
    """,
    "MinimalTaskPolicy": "ReleaseTaskConcurrencySlots",
}
# The event belongs to the command.
ELSEWHERE = {"InstrumentFlowRunStateTransitions"}

GOVERNED = {
    "PreserveDeploymentConcurrencyLeaseId": ("any", "any"),
    "PreventDuplicateTransitions": ("any", "any"),
    "HandleFlowTerminalStateTransitions": ("terminal", "any"),
    "PreventResultDataLoss": ("terminal", "terminal"),
    "EnforceCancellingToCancelledTransition": ("CANCELLING", "any but CANCELLED"),
    "BypassCancellingFlowRunsWithNoInfra": ("SCHEDULED PAUSED", "CANCELLING"),
    "PreventPendingTransitions": ("PENDING CANCELLING RUNNING CANCELLED", "PENDING"),
    # (Upstream a run that comes back from a pause is not asked for its slot.)
    "ValidateDeploymentConcurrencyAtRunning": ("PENDING PAUSED", "RUNNING"),
    "SecureFlowConcurrencySlots": ("any but PENDING RUNNING CANCELLING", "PENDING"),
    "RemoveDeploymentConcurrencyLeaseForOldClientVersions": ("PENDING", "RUNNING CANCELLING"),
    "ReleaseFlowConcurrencySlots": ("any", "any"),
    "EnforceDeploymentConcurrencyOnLate": ("SCHEDULED", "SCHEDULED"),
    "SecureTaskConcurrencySlots": ("any", "RUNNING"),
    "ReleaseTaskConcurrencySlots": ("any", "any"),
    "EnsureOnlyScheduledFlowsMarkedLate": ("any", "SCHEDULED"),
    "HandlePausingFlows": ("any", "PAUSED"),
    "HandleResumingPausedFlows": ("PAUSED", "any"),
    "CopyScheduledTime": ("SCHEDULED", "PENDING"),
    "WaitForScheduledTime": ("SCHEDULED PENDING", "RUNNING"),
    "RetryFailedFlows": ("RUNNING", "FAILED"),
    "CacheRetrieval": ("any", "RUNNING"),
    "HandleTaskTerminalStateTransitions": ("terminal", "any"),
    "PreventRunningTasksFromStoppedFlows": ("any", "RUNNING"),
    "CopyTaskParametersID": ("SCHEDULED PENDING", "PENDING RUNNING"),
    "RetryFailedTasks": ("RUNNING", "FAILED"),
    "RenameReruns": ("any", "RUNNING"),
    "UpdateFlowRunTrackerOnTasks": ("any", "RUNNING"),
    "CacheInsertion": ("any", "COMPLETED"),
    "EnqueueScheduledTasks": ("any", "SCHEDULED"),
}

PHASES = {
    "HandleFlowTerminalStateTransitions": ("before", "cleanup"),
    "HandleTaskTerminalStateTransitions": ("before", "cleanup"),
    "HandlePausingFlows": ("before", "after"),
    "HandleResumingPausedFlows": ("before", "after"),
    "CacheInsertion": ("before", "after"),
    "UpdateFlowRunTrackerOnTasks": ("after",),
    "EnqueueScheduledTasks": ("after",),
    "ValidateDeploymentConcurrencyAtRunning": ("before", "cleanup"),
    "SecureFlowConcurrencySlots": ("before", "cleanup"),
    "SecureTaskConcurrencySlots": ("before", "cleanup"),
    "RemoveDeploymentConcurrencyLeaseForOldClientVersions": ("after",),
    "ReleaseFlowConcurrencySlots": ("after",),
    "ReleaseTaskConcurrencySlots": ("after",),
}
TRANSFORMS = {
    "PreserveDeploymentConcurrencyLeaseId",
    "ReleaseFlowConcurrencySlots",
    "ReleaseTaskConcurrencySlots",
}

ROWS = list(dict.fromkeys(rule for policy in policies.POLICIES for rule in policy.rules))


def types(words: str) -> frozenset[str | None]:
    if words == "any":
        return ANY
    if words.startswith("any but "):
        return ANY - set(words.removeprefix("any but ").split())
    return TERMINAL if words == "terminal" else frozenset(words.split())


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.name)
def test_a_policy_has_the_servers_rules_in_the_servers_order(policy):
    wanted = [name for name in UPSTREAM[policy.name].split() if name not in ELSEWHERE]
    assert [rule.name for rule in policy.rules if rule.name not in ELSEWHERE] == wanted
    assert [rule.name for rule in policy.rules] == [
        name
        for name in UPSTREAM[policy.name].split()
        if name in {rule.name for rule in policy.rules}
    ]


def test_every_policy_of_the_server_is_there():
    assert {policy.name for policy in policies.POLICIES} == set(UPSTREAM)


@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.name)
def test_a_row_says_what_it_governs_when_and_why(rule):
    from_types, to_types = GOVERNED[rule.name]
    assert (rule.from_types, rule.to_types) == (types(from_types), types(to_types))
    assert rule.phases == PHASES.get(rule.name, ("before",))
    assert rule.why.endswith(".")
    assert "\n" not in rule.why
    assert rule.transform == (rule.name in TRANSFORMS)


def test_no_two_rows_have_one_name():
    assert len({rule.name for rule in ROWS}) == len(ROWS) == len(GOVERNED)


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.name)
def test_the_compiled_plan_of_every_transition_is_the_table_read_slowly(policy):
    for from_type in (None, *STATE_TYPES):
        for to_type in STATE_TYPES:
            slowly = [
                rule
                for rule in policy.rules
                if from_type in rule.from_types and to_type in rule.to_types
            ]
            for _ in range(2):  # made out, and remembered
                plan = policy.plan(from_type, to_type)
                assert [rule for rule, _, _ in plan] == slowly
                assert [before for _, before, _ in plan] == [rule.before for rule in slowly]
                assert [leaves for _, _, leaves in plan] == [
                    bool({"after", "cleanup"} & set(rule.phases)) for rule in slowly
                ]


@pytest.mark.parametrize(
    ("force", "deferred", "name"),
    [
        (False, False, "CoreTaskPolicy"),
        (False, None, "CoreTaskPolicy"),
        (True, False, "MinimalTaskPolicy"),
        (False, True, "BackgroundTaskPolicy"),
        (True, True, "BackgroundTaskPolicy"),
    ],
)
def test_which_policy_decides_about_a_task_run(force, deferred, name):
    assert policies.task_policy(force, deferred).name == name


def test_force_means_fewer_rules_for_a_flow_run_not_none():
    assert policies.flow_policy(False) is policies.FLOW_CORE
    assert policies.flow_policy(True) is policies.FLOW_MINIMAL
    assert policies.FLOW_MINIMAL.rules
