"""The slots of runs: taken on the way in, kept while the process lives, given back once."""

from __future__ import annotations

from typing import Any

import pytest
from rules_bench import Bench, flow_run, task_run, verdict

from lictor.schema.rules import policies
from lictor.schema.rules.records import State
from lictor.schema.rules.slot_rules import renews_leases
from lictor.schema.rules.world import DeploymentLimit, NoTagSlots

NEW, OLD = "3.6.13", "3.4.10"


@pytest.fixture
def one(bench: Bench) -> Bench:
    """A deployment that one run at a time may use."""
    bench.world.limit = DeploymentLimit("limit", 1, active=True, occupied=0)
    return bench


def deployed(**columns: Any) -> Any:
    return flow_run(deployment_id="deployment", **columns)


def lease_of(state: State | None) -> str | None:
    assert state is not None
    return state.details.deployment_concurrency_lease_id


def submitted(bench: Bench, version: str | None = NEW) -> State:
    """The PENDING state of a run that got a slot."""
    transition = bench.flow(deployed(), None, bench.state("PENDING"), client_version=version)
    assert verdict(transition) == ("ACCEPT", "PENDING")
    assert lease_of(transition.proposed) in bench.world.leases
    bench.clock.advance(1)
    return transition.proposed


def through(bench: Bench, *names: str, version: str | None = NEW) -> State:
    """The state of a submitted run after these further transitions."""
    state, run = submitted(bench, version), deployed(state_type="PENDING")
    for name in names:
        state = bench.flow(run, state, bench.state(name), client_version=version).proposed
        assert state is not None
        bench.clock.advance(1)
    return state


@pytest.mark.parametrize(
    ("version", "renews"),
    [
        ("3.4.11", True),
        ("3.4.10", False),
        ("3.6.13", True),
        ("3.10.0", True),
        ("3.4.11rc1", False),
        ("3.4.11.dev2", False),
        ("3.4.12.dev2", True),
        ("3.4.11+5.gabc", True),
        ("2.20.4", False),
        (None, False),
        ("", False),
    ],
)
def test_which_clients_renew_their_leases(version, renews):
    assert renews_leases(version) is renews


# Submitting


def test_a_submitted_run_has_a_slot_for_the_grace_of_its_deployment(one):
    assert one.world.leases == {}
    lease_id = lease_of(submitted(one))
    assert one.world.leases == {lease_id: one.settings.deployment_lease_s}


def test_the_deployment_says_how_long_the_grace_is(bench):
    bench.world.limit = DeploymentLimit("limit", 1, active=True, occupied=0, grace_s=77.0)
    assert bench.world.leases[lease_of(submitted(bench))] == 77


def test_a_run_that_finds_no_slot_is_put_off(one):
    submitted(one)
    late = one.flow(deployed(), one.state("SCHEDULED"), one.state("PENDING"), client_version=NEW)
    assert verdict(late) == ("REJECT", "SCHEDULED")
    assert late.proposed.name == "AwaitingConcurrencySlot"
    assert late.proposed.details.scheduled_time == one.at(one.settings.deployment_slot_wait_s)
    assert len(one.world.leases) == 1


def test_a_run_that_finds_no_slot_is_cancelled_where_the_deployment_wants_it(bench):
    bench.world.limit = DeploymentLimit("limit", 1, active=True, occupied=0, cancels_new=True)
    submitted(bench)
    late = bench.flow(deployed(), None, bench.state("PENDING"))
    assert verdict(late) == ("REJECT", "CANCELLED")


def test_a_limit_of_zero_stops_every_run(bench):
    bench.world.limit = DeploymentLimit("limit", 0, active=True, occupied=0)
    assert verdict(bench.flow(deployed(), None, bench.state("PENDING"))) == ("ABORT", None)


@pytest.mark.parametrize("most", [0, 1])
def test_an_inactive_limit_is_not_enforced(bench, most):
    bench.world.limit = DeploymentLimit("limit", most, active=False, occupied=0)
    for _ in range(2):
        decided = bench.flow(deployed(), None, bench.state("PENDING"))
        assert verdict(decided) == ("ACCEPT", "PENDING")
    assert bench.world.leases == {}


def test_a_run_whose_deployment_is_gone_is_not_submitted(bench):
    bench.world.deployments.clear()
    assert verdict(bench.flow(deployed(), None, bench.state("PENDING"))) == ("ABORT", None)


def test_a_deployment_without_a_limit_costs_no_lease(bench):
    transition = bench.flow(deployed(), None, bench.state("PENDING"))
    assert verdict(transition) == ("ACCEPT", "PENDING")
    assert lease_of(transition.proposed) is None


def test_a_run_without_a_deployment_takes_no_slot(one):
    one.flow(flow_run(), None, one.state("PENDING"))
    assert not one.world.leases


def test_workers_that_took_their_slots_themselves_are_given_none(one):
    one.flow(deployed(), None, one.state("PENDING"), client_version="3.0.2")
    assert one.world.leases == {}


def test_a_forced_submission_takes_no_slot(one):
    one.flow(deployed(), None, one.state("PENDING"), policies.FLOW_MINIMAL, client_version=NEW)
    assert one.world.leases == {}


def test_a_slot_taken_for_a_submission_that_is_refused_is_given_back(one):
    suspended = one.state("PAUSED", pause_reschedule=True)
    transition = one.flow(deployed(), suspended, one.state("PENDING"), client_version=NEW)
    assert verdict(transition) == ("REJECT", None)
    assert one.world.leases_made == 1
    assert one.world.leases == {}


def test_a_named_step_of_a_submission_keeps_its_slot(one):
    pending = submitted(one)
    step = one.state("PENDING", "InfrastructurePending")
    transition = one.flow(deployed(), pending, step, client_version=NEW)
    assert lease_of(transition.proposed) == lease_of(pending)
    assert one.world.leases_made == len(one.world.leases) == 1


def test_a_run_that_still_holds_its_slot_takes_no_second_one(one):
    retrying = through(one, "RUNNING")
    policy = {"retries": 1}
    transition = one.flow(deployed(policy=policy), retrying, one.state("FAILED"))
    assert transition.proposed.name == "AwaitingRetry"
    again = one.flow(deployed(), transition.proposed, one.state("PENDING"), client_version=NEW)
    assert verdict(again) == ("ACCEPT", "PENDING")
    assert lease_of(again.proposed) == lease_of(retrying)
    assert one.world.leases_made == len(one.world.leases) == 1


# Starting


def test_starting_renews_the_lease(one):
    pending = submitted(one)
    one.world.leases[lease_of(pending)] = 5.0
    running = one.flow(deployed(), pending, one.state("RUNNING"), client_version=NEW)
    assert lease_of(running.proposed) == lease_of(pending)
    assert one.world.leases == {lease_of(pending): one.settings.deployment_lease_s}


def test_a_run_whose_slot_is_gone_takes_another(one):
    pending = submitted(one)
    one.world.leases.clear()
    running = one.flow(deployed(), pending, one.state("RUNNING"), client_version=NEW)
    assert verdict(running) == ("ACCEPT", "RUNNING")
    assert list(one.world.leases) == [lease_of(running.proposed)]
    assert lease_of(running.proposed) != lease_of(pending)


def test_a_run_whose_slot_is_anothers_is_cancelled(one):
    pending = submitted(one)
    one.world.leases = {"another's": 300.0}
    running = one.flow(deployed(), pending, one.state("RUNNING"), client_version=NEW)
    assert verdict(running) == ("REJECT", "CANCELLED")
    assert one.world.leases == {"another's": 300.0}


def test_a_slot_taken_for_a_start_that_must_wait_is_given_back(one):
    scheduled = one.at(100)
    pending = submitted(one)
    pending.details.scheduled_time = scheduled
    one.world.leases.clear()
    waiting = one.flow(deployed(), pending, one.state("RUNNING"), client_version=NEW)
    assert waiting.status == "WAIT"
    assert one.world.leases == {}


@pytest.mark.parametrize("version", [OLD, None])
@pytest.mark.parametrize("next_type", ["RUNNING", "CANCELLING"])
def test_a_client_that_does_not_renew_holds_its_slot_without_end(one, version, next_type):
    state = through(one, next_type, version=version)
    assert one.world.leases == {lease_of(state): None}
    one.flow(deployed(), state, one.state("CANCELLED"), client_version=version)
    assert one.world.leases == {}


# Leaving


@pytest.mark.parametrize("policy", [policies.FLOW_CORE, policies.FLOW_MINIMAL])
@pytest.mark.parametrize("last", ["PENDING", "RUNNING", "CANCELLING"])
@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "SCHEDULED"])
def test_a_run_that_ends_or_is_put_off_gives_its_slot_back(one, last, end, policy):
    names = {"PENDING": (), "RUNNING": ("RUNNING",), "CANCELLING": ("RUNNING", "CANCELLING")}[last]
    state = through(one, *names)
    transition = one.flow(deployed(), state, one.state(end), policy, client_version=NEW)
    if last == "CANCELLING" and end != "CANCELLED" and policy is policies.FLOW_CORE:
        assert transition.proposed is None
        assert len(one.world.leases) == 1
    else:
        assert one.world.leases == {}


def test_a_blocking_pause_keeps_the_slot_and_so_does_what_follows(one):
    running = through(one, "RUNNING")
    paused = one.flow(deployed(), running, one.state("PAUSED"), client_version=NEW).proposed
    assert list(one.world.leases) == [lease_of(paused)]
    resumed = one.flow(deployed(), paused, one.state("RUNNING"), client_version=NEW).proposed
    assert list(one.world.leases) == [lease_of(resumed)]
    one.flow(deployed(), resumed, one.state("COMPLETED"), client_version=NEW)
    assert one.world.leases == {}


def test_a_run_that_lost_its_slot_in_a_pause_takes_another_or_goes_on_without(one):
    running = through(one, "RUNNING")
    paused = one.flow(deployed(), running, one.state("PAUSED"), client_version=NEW).proposed
    one.world.leases.clear()
    resumed = one.flow(deployed(), paused, one.state("RUNNING"), client_version=NEW)
    assert list(one.world.leases) == [lease_of(resumed.proposed)]
    one.world.leases = {"another's": 300.0}
    resumed = one.flow(deployed(), paused, one.state("RUNNING"), client_version=NEW)
    assert verdict(resumed) == ("ACCEPT", "RUNNING")
    assert one.world.leases == {"another's": 300.0}


def test_a_slot_taken_for_a_resumption_after_the_deadline_is_given_back(one):
    running = through(one, "RUNNING")
    proposed = one.state("PAUSED", pause_timeout=one.at(10))
    paused = one.flow(deployed(), running, proposed, client_version=NEW).proposed
    one.world.leases.clear()
    one.clock.advance(60)
    expired = one.flow(deployed(), paused, one.state("RUNNING"), client_version=NEW)
    assert verdict(expired) == ("REJECT", "FAILED")
    assert one.world.leases == {}


def test_a_suspended_run_gives_its_slot_back(one):
    running = through(one, "RUNNING")
    one.flow(deployed(), running, one.state("PAUSED", pause_reschedule=True), client_version=NEW)
    assert one.world.leases == {}


def test_a_pause_that_ends_otherwise_gives_the_slot_back(one):
    running = through(one, "RUNNING")
    paused = one.flow(deployed(), running, one.state("PAUSED"), client_version=NEW).proposed
    one.flow(deployed(), paused, one.state("CRASHED"), client_version=NEW)
    assert one.world.leases == {}


def test_a_retry_in_the_same_process_keeps_the_slot_until_it_is_given_up(one):
    running = through(one, "RUNNING")
    policy = {"retries": 1, "retry_delay": 60}
    waiting = one.flow(deployed(policy=policy), running, one.state("FAILED"), client_version=NEW)
    assert waiting.proposed.name == "AwaitingRetry"
    assert list(one.world.leases) == [lease_of(waiting.proposed)]
    one.flow(deployed(), waiting.proposed, one.state("CANCELLED"), client_version=NEW)
    assert one.world.leases == {}


def test_a_retry_that_the_client_puts_off_itself_gives_the_slot_back(one):
    running = through(one, "RUNNING")
    one.flow(deployed(), running, one.state("SCHEDULED", "AwaitingRetry"), client_version=NEW)
    assert one.world.leases == {}


def test_a_slot_that_has_long_been_anothers_is_not_given_back_twice(one):
    """Upstream the end of a run whose lease had expired freed the slot of another run."""
    running = through(one, "RUNNING")
    one.world.leases = {"another's": 300.0}
    one.flow(deployed(), running, one.state("COMPLETED"), client_version=NEW)
    assert one.world.leases == {"another's": 300.0}


def test_a_run_without_a_deployment_releases_no_lease_it_names(one):
    one.world.leases = {"another's": 300.0}
    running = one.state("RUNNING", deployment_concurrency_lease_id="another's")
    one.flow(flow_run(), running, one.state("COMPLETED"))
    assert one.world.leases == {"another's": 300.0}


def test_a_refused_transition_leaves_the_slot_where_it_is(one):
    running = through(one, "RUNNING")
    refused = one.flow(deployed(), running, one.state("PENDING"), client_version=NEW)
    assert refused.proposed is None
    assert list(one.world.leases) == [lease_of(running)]


# Late runs


@pytest.mark.parametrize(
    ("cancels_new", "active", "taken", "outcome"),
    [
        (True, True, 1, ("REJECT", "CANCELLED")),
        (True, True, 0, ("ACCEPT", "SCHEDULED")),
        (True, False, 1, ("ACCEPT", "SCHEDULED")),
        (False, True, 1, ("ACCEPT", "SCHEDULED")),
    ],
)
def test_a_late_run_is_cancelled_where_a_full_limit_cancels(
    bench, cancels_new, active, taken, outcome
):
    bench.world.limit = DeploymentLimit("limit", 1, active, 0, cancels_new)
    bench.world.leases = {f"lease-{n}": 300.0 for n in range(taken)}
    late = bench.state("SCHEDULED", "Late")
    transition = bench.flow(
        deployed(), bench.state("SCHEDULED"), late, policies.FLOW_MARK_LATE
    )
    assert verdict(transition) == outcome


# Tags


def test_a_task_runs_with_slots_on_its_tags_and_gives_them_back(bench):
    run = task_run(tags=("db",))
    running = bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    assert list(bench.world.tags_taken.values()) == [("db",)]
    bench.task(run, running.proposed, bench.state("COMPLETED"))
    assert bench.world.leases == {}


@pytest.mark.parametrize(("type_", "left"), [("CANCELLING", 1), ("PAUSED", 0), ("SCHEDULED", 0)])
def test_a_task_that_is_being_stopped_keeps_its_slots(bench, type_, left):
    run = task_run(tags=("db",))
    running = bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    bench.task(run, running.proposed, bench.state(type_))
    assert len(bench.world.leases) == left


def test_a_forced_end_gives_the_slots_back_too(bench):
    run = task_run(tags=("db",))
    running = bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    bench.task(run, running.proposed, bench.state("FAILED"), policies.TASK_MINIMAL)
    assert bench.world.leases == {}


@pytest.mark.parametrize(("wait_s", "delay_s"), [(0.05, 1), (1.4, 1), (7.6, 8)])
def test_a_task_that_finds_no_slot_waits_whole_seconds(bench, wait_s, delay_s):
    bench.world.tag_slots = NoTagSlots(("db",), wait_s)
    waiting = bench.task(task_run(tags=("db",)), bench.state("PENDING"), bench.state("RUNNING"))
    assert (waiting.status, waiting.delay_seconds) == ("WAIT", delay_s)
    assert "db" in waiting.reason


def test_a_task_with_a_closed_tag_is_aborted(bench):
    bench.world.tag_slots = NoTagSlots(("db",), None)
    aborted = bench.task(task_run(tags=("db",)), bench.state("PENDING"), bench.state("RUNNING"))
    assert aborted.status == "ABORT"


def test_slots_taken_for_a_task_that_must_wait_for_its_time_are_given_back(bench):
    later = bench.state("SCHEDULED", scheduled_time=bench.at(60))
    waiting = bench.task(task_run(tags=("db",)), later, bench.state("RUNNING"))
    assert waiting.status == "WAIT"
    assert bench.world.leases_made == 1
    assert bench.world.leases == {}


def test_a_task_without_tags_asks_for_nothing(bench):
    bench.world.tag_slots = NoTagSlots((), None)
    assert bench.task(task_run(), None, bench.state("RUNNING")).status == "ACCEPT"


def test_background_tasks_take_no_slots(bench):
    bench.world.tag_slots = NoTagSlots(("db",), None)
    proposed = bench.state("RUNNING", deferred=True)
    run = task_run(tags=("db",))
    transition = bench.task(run, bench.state("PENDING"), proposed, policies.TASK_BACKGROUND)
    assert transition.status == "ACCEPT"
