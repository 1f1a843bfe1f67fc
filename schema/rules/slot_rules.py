"""The rules on slots: of a deployment's limit for flow runs, of limits on tags for task runs.

Each function is a hook of the rule of the same name in `policies.py`. Slots are taken and given
back in the transition's own transaction, each under one lease; giving back a lease that has ended
changes nothing, so no slot is given back twice.

A flow run holds its slot while it is PENDING, RUNNING or CANCELLING, while it waits in its process
for the next attempt, and while it pauses without giving up its process. Whatever else it becomes,
the lease that its last state names ends.

Source: `prefect.server.orchestration.core_policy`, which gives slots back by counting down.
"""

from __future__ import annotations

import re

from lictor.schema.rules.engine import FlowTransition, TaskTransition
from lictor.schema.rules.run_rules import both
from lictor.schema.rules.world import DeploymentLimit, NoTagSlots
from lictor.schema.times import shift
from lictor.schema.wire.states import SparseStateDetails

RENEWING_SINCE = (3, 4, 11)
"""The first version of Prefect's client that renews the lease on a deployment's slot."""

WITH_OWN_SLOTS = frozenset({"3.0.0rc20", "3.0.0", "3.0.1", "3.0.2", "3.0.3"})
"""Versions whose workers take the deployment's slot themselves."""

_HOLDING = frozenset({"PENDING", "RUNNING", "CANCELLING"})
_FULL = "Deployment concurrency limit reached."
"""Also the message of the states in which it ends: Prefect's, which automations look for."""
_VERSION = re.compile(r"(\d+(?:\.\d+)*)(\.?(?:a|b|rc|dev)\d*)?")


def renews_leases(client_version: str | None) -> bool:
    """Whether a client of this version keeps the lease alive; one that names none does not."""
    match = _VERSION.match(client_version or "")
    if match is None:
        return False
    release = tuple(int(part) for part in match[1].split("."))
    return release > RENEWING_SINCE or (release == RENEWING_SINCE and match[2] is None)


def validate_deployment_concurrency_at_running(transition: FlowTransition) -> None:
    """A run that lost its slot on the way to RUNNING needs another.

    Its infrastructure is there already, so it cannot be put off: without a slot it is cancelled. A
    run that comes back from a pause is not: it has done part of its work.
    """
    current, proposed = both(transition)
    lease_id = current.details.deployment_concurrency_lease_id
    proposed.details.deployment_concurrency_lease_id = lease_id
    run, world = transition.run, transition.world
    if lease_id is None or run.deployment_id is None:
        return
    if not renews_leases(transition.client_version):
        return
    limit = world.deployment_limit(run.deployment_id)
    if limit is None or world.renew_lease(lease_id, _grace_s(transition, limit)):
        return
    if not limit.active or _take_slot(transition, limit):
        return
    if current.type == "PENDING":
        message = "The slot of the deployment's concurrency limit was lost before the run started."
        transition.reject(_FULL, transition.new_state("CANCELLED", message=message))


def secure_flow_concurrency_slots(transition: FlowTransition) -> None:
    """A run of a deployment is submitted only with a slot of the deployment's limit."""
    run, world = transition.run, transition.world
    if run.deployment_id is None or transition.client_version in WITH_OWN_SLOTS:
        return
    limit = world.deployment_limit(run.deployment_id)
    if limit is None:
        if not world.has_deployment(run.deployment_id):
            transition.abort("The deployment of this run does not exist any more.")
        return
    if not limit.active:
        return
    if limit.limit <= 0:
        transition.abort("The concurrency limit of the deployment is 0: no run can start.")
        return
    held = _held(transition)
    if held is not None and world.renew_lease(held, _grace_s(transition, limit)):
        assert transition.proposed is not None
        transition.proposed.details.deployment_concurrency_lease_id = held
        return
    if _take_slot(transition, limit):
        return
    if limit.cancels_new:
        transition.reject(_FULL, transition.new_state("CANCELLED", message=_FULL))
        return
    later = shift(transition.mint.now(), transition.settings.deployment_slot_wait_s)
    details = SparseStateDetails(scheduled_time=later)
    awaiting = transition.new_state("SCHEDULED", "AwaitingConcurrencySlot", details=details)
    transition.reject(_FULL, awaiting)


def give_back_flow_slot(transition: FlowTransition) -> None:
    """The slot was taken for a transition that another rule has refused."""
    if transition.lease_taken is not None:
        transition.world.release_lease(transition.lease_taken)


def remove_lease_for_old_client_versions(transition: FlowTransition) -> None:
    """A client that does not renew keeps its slot until the run leaves its state."""
    lease_id = _held(transition)
    if lease_id is not None and not renews_leases(transition.client_version):
        transition.world.renew_lease(lease_id, None)


def enforce_deployment_concurrency_on_late(transition: FlowTransition) -> None:
    """Where new runs are cancelled when the limit is reached, late ones are too."""
    _, proposed = both(transition)
    deployment_id = transition.run.deployment_id
    if proposed.name != "Late" or deployment_id is None:
        return
    limit = transition.world.deployment_limit(deployment_id)
    if limit is None or not limit.active or not limit.cancels_new:
        return
    if limit.occupied >= limit.limit:
        transition.reject(_FULL, transition.new_state("CANCELLED", message=_FULL))


def release_flow_concurrency_slots(transition: FlowTransition) -> None:
    """The slot is free when the run needs it no more."""
    lease_id = _held(transition)
    if lease_id is not None and transition.proposed is not None and not _keeps_slot(transition):
        transition.world.release_lease(lease_id)


def _keeps_slot(transition: FlowTransition) -> bool:
    """Whether the process of the run lives on in the state that was written."""
    proposed = transition.proposed
    assert proposed is not None
    if proposed.type == "PAUSED":
        return not proposed.details.pause_reschedule
    if proposed.type == "SCHEDULED":
        # A retry that the rules made of a failure happens in the same process; one that a client
        # proposes, because its process is being stopped, does not.
        return proposed.name == "AwaitingRetry" and transition.status == "REJECT"
    return proposed.type in _HOLDING


def _held(transition: FlowTransition) -> str | None:
    """The lease on the deployment's slot that the run's current state names."""
    current = transition.current
    if current is None or transition.run.deployment_id is None:
        return None
    return current.details.deployment_concurrency_lease_id


def _grace_s(transition: FlowTransition, limit: DeploymentLimit) -> float:
    """Seconds that a run has from one sign of life to the next, before its process renews."""
    return transition.settings.deployment_lease_s if limit.grace_s is None else limit.grace_s


def _take_slot(transition: FlowTransition, limit: DeploymentLimit) -> bool:
    """Take a slot for the run, and note its lease in the proposed state; False if none is free."""
    assert transition.proposed is not None
    lease_id = transition.world.take_slot(limit.id, _grace_s(transition, limit))
    if lease_id is None:
        return False
    transition.proposed.details.deployment_concurrency_lease_id = lease_id
    transition.lease_taken = lease_id
    return True


# Task runs


def secure_task_concurrency_slots(transition: TaskTransition) -> None:
    """A task runs only with a slot of the limit on each of its tags."""
    run = transition.run
    if not run.tags:
        return
    taken = transition.world.take_tag_slots(run.tags)
    if isinstance(taken, NoTagSlots):
        tags = ", ".join(taken.tags)
        if taken.wait_s is None:
            transition.abort(f"The concurrency limit on {tags} is 0: no task can run.")
        else:
            delay_s = max(1, round(taken.wait_s))
            transition.delay(delay_s, f"The concurrency limit on {tags} is reached.")
    else:
        transition.lease_taken = taken


def give_back_task_slots(transition: TaskTransition) -> None:
    """The slots were taken for a transition that another rule has refused."""
    if transition.lease_taken is not None:
        transition.world.release_lease(transition.lease_taken)


def release_task_concurrency_slots(transition: TaskTransition) -> None:
    """The slots on a run's tags are free when it neither runs nor is being stopped."""
    run, validated = transition.run, transition.validated
    if not run.tags or transition.proposed is None or validated is None:
        return
    if validated.type not in ("RUNNING", "CANCELLING"):
        transition.world.release_tag_slots(run.tags)
