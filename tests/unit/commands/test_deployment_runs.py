"""Runs made from deployments: what they inherit, what is checked, and the slots they take."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from command_world import World, as_sent
from deployment_calls import NOBODY, deploy, pool, start, update, variables

from lictor.schema.commands import deployment_runs, deployments, flow_run_changes
from lictor.schema.errors import BadRequest, Conflict, Invalid, NotFound
from lictor.schema.tables import flow_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.deployments import DeploymentFlowRunCreate, FlowRunCreateResult
from lictor.schema.wire.flow_runs import FlowRun, FlowRunUpdate

INTEGER_N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def answer(run: FlowRun | None) -> Any:
    return json.loads(msgspec.json.encode(run))


def test_a_run_takes_from_its_deployment_what_it_does_not_say(world: World) -> None:
    pool(world)
    id_ = deploy(
        world,
        version="v3",
        tags=["dep", "both"],
        parameters={"a": 1, "b": 2},
        labels={"team": "dep"},
        job_variables={"x": "1"},
        work_pool_name="pool",
    )
    run = start(
        world,
        id_,
        tags=["both", "run"],
        parameters={"b": 3},
        labels={"mine": "y"},
        job_variables={"y": "2"},
    )
    found = answer(run)
    assert found["deployment_version"] == "v3"
    assert found["tags"] == ["dep", "both", "run"]
    assert found["parameters"] == {"a": 1, "b": 3}
    assert found["job_variables"] == {"y": "2"}
    assert found["labels"] == {
        "from": "flow",
        "team": "dep",
        "mine": "y",
        "prefect.flow.id": world.flow_id,
        "prefect.deployment.id": id_,
    }
    assert (found["work_pool_name"], found["work_queue_name"]) == ("pool", "default")
    assert found["state"]["state_details"]["scheduled_time"] == found["expected_start_time"]
    assert found["state_type"] == "SCHEDULED"
    again = answer(table.read(world.tx, run.id, parse(world.mint.now())))
    again["estimated_start_time_delta"] = found["estimated_start_time_delta"]
    assert again == found


def test_the_same_key_answers_the_run_that_is_there(world: World) -> None:
    id_ = deploy(world)
    first = start(world, id_, idempotency_key="k")
    assert start(world, id_, idempotency_key="k", name="other").id == first.id


def test_parameters_that_become_no_object_are_refused_by_the_schema_or_for_themselves(
    world: World,
) -> None:
    number = {"__prefect_kind": "json", "value": "5"}
    for schema in ({}, {"type": "object", "properties": {"n": {"type": "integer"}}}):
        id_ = deploy(world, name=f"held by {len(schema)}", parameter_openapi_schema=schema)
        with pytest.raises(Conflict):
            start(world, id_, parameters=number)
        with pytest.raises(BadRequest):
            start(world, id_, parameters=number, enforce_parameter_schema=False)
        with pytest.raises(Conflict):
            update(world, id_, parameters=number)


def test_parameters_are_hydrated_then_held_to_the_schema_unless_the_run_says_not(
    world: World,
) -> None:
    id_ = deploy(world, parameter_openapi_schema=INTEGER_N)
    for parameters in ({}, {"n": "one"}):
        with pytest.raises(Conflict):
            start(world, id_, parameters=parameters)
    loose = start(world, id_, parameters={"n": "one"}, enforce_parameter_schema=False)
    assert answer(loose)["parameters"] == {"n": "one"}
    hydrated = start(world, id_, parameters={"n": {"__prefect_kind": "json", "value": "7"}})
    assert answer(hydrated)["parameters"] == {"n": 7}
    with pytest.raises(BadRequest):
        start(world, id_, parameters={"n": {"__prefect_kind": "json", "value": "{"}})


def test_a_deployment_without_a_usable_schema_cannot_enforce_it(world: World) -> None:
    id_ = deploy(world, parameter_openapi_schema=None)
    with pytest.raises(Conflict):
        start(world, id_)
    start(world, id_, enforce_parameter_schema=False)


def test_job_variables_are_complete_by_now_and_fit(world: World) -> None:
    pool(world, n={"type": "integer"})
    id_ = deploy(world, work_pool_name="pool")
    for job_variables in ({}, {"n": "text"}):
        with pytest.raises(Invalid):
            start(world, id_, job_variables=job_variables)
    run = start(world, id_, job_variables={"n": 1})
    with pytest.raises(Invalid):
        change_job_variables(world, run.id, {"n": "text"})
    change_job_variables(world, run.id, {"n": 2})
    read = table.read(world.tx, run.id, parse(world.mint.now()))
    assert answer(read)["job_variables"] == {"n": 2}


def change_job_variables(world: World, id_: str, job_variables: dict[str, Any]) -> None:
    body = as_sent({"job_variables": job_variables}, FlowRunUpdate)
    flow_run_changes.update(world.tx, id_, body, world.mint, world.settings)


def test_a_queue_of_its_own_needs_a_pool_and_is_made_in_it(world: World) -> None:
    id_ = deploy(world)
    with pytest.raises(BadRequest):
        start(world, id_, work_queue_name="own")
    pool(world)
    update(world, id_, work_pool_name="pool")
    found = answer(start(world, id_, work_queue_name="own"))
    assert (found["work_pool_name"], found["work_queue_name"]) == ("pool", "own")


def test_no_run_is_made_of_a_deployment_that_does_not_exist(world: World) -> None:
    with pytest.raises(NotFound):
        start(world, NOBODY)


def test_events_of_a_run_name_its_deployment_queue_and_pool_in_this_order(world: World) -> None:
    pool(world)
    id_ = deploy(world, tags=["of-dep"], work_pool_name="pool")
    world.tx.published.clear()
    start(world, id_)
    (event,) = world.events()
    roles = [each["prefect.resource.role"] for each in event.related]
    assert roles == ["flow", "deployment", "work-queue", "work-pool", "tag", "tag"]
    assert event.related[1]["prefect.resource.id"] == f"prefect.deployment.{id_}"
    assert event.related[1]["prefect.resource.name"] == "dep"
    tags = [each["prefect.resource.id"] for each in event.related[4:]]
    assert tags == ["prefect.tag.of-dep", "prefect.tag.of-flow"]


# Many at once


def start_many(world: World, id_: str, *bodies: dict[str, Any]) -> list[FlowRunCreateResult]:
    decoded = [as_sent(body, DeploymentFlowRunCreate) for body in bodies]
    return deployment_runs.create_many(
        world.tx, id_, decoded, None, variables, world.mint, world.settings
    )


def test_a_run_that_is_refused_leaves_nothing_and_the_others_stay(world: World) -> None:
    id_ = deploy(world)
    world.tx.published.clear()
    results = start_many(world, id_, {}, {"parent_task_run_id": NOBODY}, {})
    assert [each.status for each in results] == ["CREATED", "FAILED", "CREATED"]
    assert "foreign key" in (results[1].error or "")
    assert world.count("flow_run") == 2
    assert len(world.events()) == 2


def test_queues_that_runs_name_are_made_once_even_for_runs_that_fail(world: World) -> None:
    pool(world)
    id_ = deploy(world, work_pool_name="pool", parameter_openapi_schema=INTEGER_N)
    results = start_many(
        world,
        id_,
        {"work_queue_name": "own", "parameters": {"n": 1}},
        {"work_queue_name": "own", "parameters": {"n": 2}},
        {"work_queue_name": "of-failed", "parameters": {"n": "x"}},
    )
    assert [each.status for each in results] == ["CREATED", "CREATED", "FAILED"]
    made = {row[0] for row in world.tx.all("SELECT name FROM work_queue")}
    assert made == {"default", "own", "of-failed"}
    runs = world.tx.all("SELECT DISTINCT work_queue_name FROM flow_run")
    assert runs == [("own",)]


def test_a_run_that_fails_takes_no_queue_from_the_runs_behind_it(world: World) -> None:
    pool(world)
    id_ = deploy(world, work_pool_name="pool", work_queue_name="own")
    world.tx.run("UPDATE work_queue SET name = 'renamed' WHERE name = 'own'")
    refused = {"work_queue_name": "own", "parent_task_run_id": NOBODY}
    results = start_many(world, id_, refused, {"work_queue_name": "own"})
    assert [each.status for each in results] == ["FAILED", "CREATED"]
    runs = "SELECT q.name FROM flow_run fr JOIN work_queue q ON q.id = fr.work_queue_id"
    assert world.tx.all(runs) == [("own",)]


def test_each_run_of_many_is_held_to_the_variables_of_the_pool(world: World) -> None:
    pool(world, n={"type": "integer"})
    id_ = deploy(world, work_pool_name="pool")
    bodies = [{"job_variables": {"n": value}} for value in (1, "text", 1, "text", 2)]
    results = start_many(world, id_, *bodies)
    assert [each.status for each in results] == [
        "CREATED", "FAILED", "CREATED", "FAILED", "CREATED"
    ]  # fmt: skip


# Limits


def test_a_full_limit_puts_a_run_off_until_a_slot_is_free(world: World) -> None:
    id_ = deploy(world, concurrency_limit=1)
    first, second = start(world, id_), start(world, id_)
    assert world.set_state(first.id, "PENDING").status == "ACCEPT"
    refused = world.set_state(second.id, "PENDING")
    assert refused.status == "REJECT"
    assert refused.state is not None
    assert refused.state.name == "AwaitingConcurrencySlot"
    world.set_state(first.id, "COMPLETED")
    assert world.set_state(second.id, "PENDING").status == "ACCEPT"


def test_a_full_limit_may_cancel_new_runs_instead(world: World) -> None:
    options = {"collision_strategy": "CANCEL_NEW"}
    id_ = deploy(world, concurrency_limit=1, concurrency_options=options)
    first, second = start(world, id_), start(world, id_)
    world.set_state(first.id, "PENDING")
    refused = world.set_state(second.id, "PENDING")
    assert refused.state is not None
    assert refused.state.type == "CANCELLED"


def test_a_run_whose_deployment_is_gone_is_not_submitted(world: World) -> None:
    id_ = deploy(world)
    run = start(world, id_)
    world.set_state(run.id, "SCHEDULED", force=True, name="AwaitingConcurrencySlot")
    deployments.delete(world.tx, id_, world.mint)
    assert world.set_state(run.id, "PENDING").status == "ABORT"
