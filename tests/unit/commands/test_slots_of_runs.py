"""Runs, the slots they hold, and what becomes of those when the runs end or are deleted."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from command_world import World

from lictor.schema.commands import flow_runs, limits, run_slots, slots, task_runs
from lictor.schema.rules.world import DeploymentLimit
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.times import epoch_s
from lictor.schema.wire.concurrency_limits import LimitCreate

DEPLOYMENT = str(uuid.UUID(int=7))


def limit(world: World, name: str, most: int) -> str:
    return limits.create(world.tx, LimitCreate(name=name, limit=most), world.mint).id


def in_use(world: World, name: str) -> float:
    found = table.read_by_name(world.tx, name)
    assert found is not None
    return found.occupied(epoch_s(world.mint.now()))


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A deployment of which one run at a time may be under way."""
    limit_id = limit(world, "deployment", 1)

    def found(_slots: Any, deployment_id: str) -> DeploymentLimit:
        assert deployment_id == DEPLOYMENT
        return DeploymentLimit(limit_id, 1, True, in_use(world, "deployment"))

    monkeypatch.setattr(run_slots.FlowSlots, "deployment_limit", found)
    return world


def submit(world: World) -> tuple[str, str]:
    """A run of the deployment, and what came of submitting it."""
    scheduled = {"type": "SCHEDULED"}
    run = world.run(deployment_id=DEPLOYMENT, state=scheduled)
    result = world.set_state(run.id, "PENDING")
    assert result.state is not None
    return run.id, result.state.name


def test_one_run_at_a_time_has_the_slot_and_the_next_gets_it_when_that_ends(deployed):
    first, state = submit(deployed)
    assert state == "Pending"
    assert submit(deployed)[1] == "AwaitingConcurrencySlot"
    deployed.set_state(first, "RUNNING")
    assert submit(deployed)[1] == "AwaitingConcurrencySlot"
    deployed.set_state(first, "COMPLETED")
    assert in_use(deployed, "deployment") == 0
    assert submit(deployed)[1] == "Pending"


def test_deleting_a_run_gives_its_slot_back_once(deployed):
    first, _ = submit(deployed)
    flow_runs.delete(deployed.tx, first)
    assert in_use(deployed, "deployment") == 0
    assert submit(deployed)[1] == "Pending"
    assert submit(deployed)[1] == "AwaitingConcurrencySlot"
    deployed.pass_seconds(10_000)
    slots.release_expired(deployed.tx, epoch_s(deployed.mint.now()))
    assert in_use(deployed, "deployment") == 0


def test_the_end_of_a_run_whose_lease_expired_frees_no_other_runs_slot(deployed):
    first, _ = submit(deployed)
    deployed.pass_seconds(301)
    assert slots.release_expired(deployed.tx, epoch_s(deployed.mint.now())) == 1
    assert submit(deployed)[1] == "Pending"
    deployed.set_state(first, "CRASHED")
    assert in_use(deployed, "deployment") == 1
    assert submit(deployed)[1] == "AwaitingConcurrencySlot"


def test_a_run_of_a_client_that_does_not_renew_keeps_its_slot_for_as_long_as_it_runs(deployed):
    first, _ = submit(deployed)
    deployed.set_state(first, "RUNNING")
    deployed.pass_seconds(100_000)
    assert slots.release_expired(deployed.tx, epoch_s(deployed.mint.now())) == 0
    assert in_use(deployed, "deployment") == 1


def test_a_task_takes_a_slot_on_each_of_its_tags_or_none(world):
    limit(world, "tag:a", 1)
    limit(world, "tag:b", 5)
    run = world.run(state={"type": "RUNNING"})
    tasks = [
        world.task(flow_run_id=run.id, dynamic_key=str(n), tags=["a", "b", "free"]).id
        for n in range(2)
    ]
    assert world.set_task_state(tasks[0], "RUNNING").status == "ACCEPT"
    waiting = world.set_task_state(tasks[1], "RUNNING")
    assert waiting.status == "WAIT"
    assert waiting.details["delay_seconds"] >= 1
    assert (in_use(world, "tag:a"), in_use(world, "tag:b")) == (1, 1)
    world.set_task_state(tasks[0], "COMPLETED")
    assert (in_use(world, "tag:a"), in_use(world, "tag:b")) == (0, 0)
    assert world.set_task_state(tasks[1], "RUNNING").status == "ACCEPT"


def test_a_task_that_runs_again_keeps_the_slot_it_has(world):
    limit(world, "tag:a", 1)
    run = world.run(state={"type": "RUNNING"})
    task = world.task(flow_run_id=run.id, tags=["a"]).id
    for _ in range(2):
        assert world.set_task_state(task, "RUNNING").status == "ACCEPT"
    assert in_use(world, "tag:a") == 1


def test_a_task_with_a_tag_whose_limit_is_zero_is_aborted(world):
    limit(world, "tag:a", 0)
    run = world.run(state={"type": "RUNNING"})
    task = world.task(flow_run_id=run.id, tags=["a"]).id
    aborted = world.set_task_state(task, "RUNNING")
    assert aborted.status == "ABORT"
    assert "on a is 0" in aborted.details["reason"]


def test_the_end_of_a_task_gives_back_what_its_client_took_for_it_but_nothing_else(world):
    limit(world, "tag:a", 1)
    limit(world, "db", 1)
    task = world.task(tags=["a"]).id
    for name in ("tag:a", "db"):
        wanted = slots.Wanted([name], 1, "concurrency", Holder("task_run", task), 300.0)
        assert slots.acquire(world.tx, wanted, world.mint) is not None
    world.set_task_state(task, "COMPLETED")
    assert (in_use(world, "tag:a"), in_use(world, "db")) == (0, 1)


@pytest.mark.parametrize("what", ["task run", "flow run"])
def test_deleting_a_task_frees_the_slots_that_nothing_else_would(world, what):
    limit(world, "tag:a", 3)
    flow_run = world.run(state={"type": "RUNNING"}).id
    task = world.task(flow_run_id=flow_run, tags=["a"]).id
    other = world.task(flow_run_id=world.run(state={"type": "RUNNING"}).id, tags=["a"]).id
    for id_ in (task, other):
        world.set_task_state(id_, "RUNNING")
    wanted = slots.Wanted(["tag:a"], 1, "concurrency", Holder("task_run", task), 300.0)
    slots.acquire(world.tx, wanted, world.mint)
    assert in_use(world, "tag:a") == 3
    if what == "task run":
        task_runs.delete(world.tx, task)
    else:
        flow_runs.delete(world.tx, flow_run)
    assert in_use(world, "tag:a") == 2, "the one its client renews ends with its lease"


def test_looking_for_endless_leases_of_a_deleted_run_reads_those_alone(world):
    plan = world.tx.all(
        "EXPLAIN QUERY PLAN DELETE FROM lease WHERE expires_at IS NULL"
        " AND holder_type = 'task_run' AND"
        " (SELECT t.flow_run_id FROM task_run t WHERE t.id = lease.holder_id) = ?",
        ("",),
    )
    assert any("lease_without_end" in row[3] for row in plan), plan
