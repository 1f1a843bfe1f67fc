"""What a new flow run answers where its request leaves something unsaid or says it oddly."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from command_world import World, as_sent
from deployment_calls import deploy, start

from lictor.schema.commands import flow_run_changes, flows
from lictor.schema.tables import flow_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.flow_runs import FlowRunUpdate
from lictor.schema.wire.flows import FlowCreate


def answer(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_job_variables_left_out_are_none_but_null_beside_an_idempotency_key(world: World) -> None:
    assert answer(world.run())["job_variables"] == {}
    assert answer(world.run(job_variables=None))["job_variables"] == {}
    assert answer(world.run(idempotency_key=""))["job_variables"] == {}
    assert answer(world.run(idempotency_key="once"))["job_variables"] is None
    assert answer(world.run(idempotency_key="once"))["job_variables"] is None
    assert answer(world.run(idempotency_key="kept", job_variables={}))["job_variables"] == {}
    id_ = deploy(world)
    assert answer(start(world, id_, idempotency_key="again"))["job_variables"] == {}


def test_job_variables_may_be_set_to_null_whatever_the_state(world: World) -> None:
    run = world.run(state={"type": "RUNNING"})
    body = as_sent({"job_variables": None}, FlowRunUpdate)
    flow_run_changes.update(world.tx, run.id, body, world.mint, world.settings)
    found = table.read(world.tx, run.id, parse(world.mint.now()))
    assert answer(found)["job_variables"] is None


def test_a_run_that_names_the_deployment_of_another_flow_has_that_flow_in_its_labels(
    world: World,
) -> None:
    deployment = deploy(world)
    body = as_sent({"name": "other", "labels": None}, FlowCreate)
    other, _ = flows.create(world.tx, body, world.mint)
    run = answer(world.run(flow_id=other.id, deployment_id=deployment))
    assert run["flow_id"] == other.id
    assert run["labels"]["prefect.flow.id"] == world.flow_id


def test_null_labels_of_a_flow_stay_null_and_give_its_runs_none(world: World) -> None:
    body = as_sent({"name": "bare", "labels": None}, FlowCreate)
    flow, _ = flows.create(world.tx, body, world.mint)
    assert answer(flow)["labels"] is None
    assert answer(world.run(flow_id=flow.id))["labels"] == {"prefect.flow.id": flow.id}
    assert answer(world.run(flow_id=flow.id, labels={"a": 1}))["labels"] == {
        "prefect.flow.id": flow.id,
        "a": 1,
    }


def test_the_first_state_of_a_run_does_not_echo_a_result_that_is_not_persisted(
    world: World,
) -> None:
    run = world.run(state={"type": "COMPLETED", "data": {"type": "unpersisted"}})
    assert answer(run)["state"]["data"] is None
    kept = world.run(state={"type": "COMPLETED", "data": {"type": "literal", "value": 1}})
    assert answer(kept)["state"]["data"] == {"type": "literal", "value": 1}
