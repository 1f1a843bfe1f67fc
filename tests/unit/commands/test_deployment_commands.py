"""What making, changing and deleting a deployment leaves in its tables, and in those around it."""

from __future__ import annotations

from typing import Any

import pytest
from command_world import World, as_sent
from deployment_calls import (
    DAILY,
    HOURLY,
    NOBODY,
    changes,
    create,
    deploy,
    deployment_events,
    is_there,
    pool,
    read,
    scheduled_run,
    update,
)

from lictor.schema.commands import deployments, flows, limits
from lictor.schema.errors import (
    BadRequest,
    Conflict,
    IntegrityConflict,
    Invalid,
    InvalidRequest,
    NotFound,
)
from lictor.schema.wire.concurrency_limits import LimitCreate

INTEGER_X = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def shared_limit(world: World, slots: int = 5) -> str:
    body = as_sent({"name": "shared", "limit": slots}, LimitCreate)
    return limits.create(world.tx, body, world.mint).id


def test_a_deployment_that_says_nothing_has_the_defaults_of_the_table(world: World) -> None:
    made, is_new = create(world)
    assert is_new
    found = read(world, made.id)
    assert found["labels"] == {"from": "flow", "prefect.flow.id": world.flow_id}
    assert (found["parameters"], found["parameter_openapi_schema"]) == ({}, {})
    assert (found["enforce_parameter_schema"], found["paused"]) == (True, False)
    assert (found["status"], found["last_polled"]) == ("NOT_READY", None)
    assert (found["tags"], found["pull_steps"], found["schedules"]) == ([], [], [])


def test_making_it_again_writes_what_is_said_and_replaces_its_schedules(world: World) -> None:
    first = deploy(
        world,
        description="kept",
        tags=["old"],
        parameters={"a": 1},
        schedules=[{"schedule": DAILY}],
    )
    made, is_new = create(world, tags=["new"], labels={"k": 1})
    assert not is_new
    assert made.id == first
    found = read(world, first)
    assert (found["description"], found["tags"], found["parameters"]) == ("kept", ["new"], {})
    assert found["schedules"] == []
    assert found["labels"] == {"from": "flow", "prefect.flow.id": world.flow_id, "k": 1}
    assert world.tx.all("SELECT tag FROM deployment_tag") == [("new",)]


def test_events_tell_of_what_has_changed_and_only_then(world: World) -> None:
    id_ = deploy(world, tags=["a"])
    create(world, tags=["a"])
    update(world, id_)
    update(world, id_, tags=["b"], paused=True)
    deployments.delete(world.tx, id_, world.mint)
    made, changed, gone = deployment_events(world)
    assert made.event == "prefect.deployment.created"
    assert made.related[0]["prefect.resource.id"] == f"prefect.flow.{world.flow_id}"
    assert sorted(changed.payload["updated_fields"]) == ["paused", "tags"]
    assert changed.payload["updates"]["tags"] == {"from": ["a"], "to": ["b"]}
    assert changed.payload["updates"]["paused"] == {"from": False, "to": True}
    assert gone.event == "prefect.deployment.deleted"


def test_what_does_not_exist_is_refused_and_nothing_is_made(world: World) -> None:
    refusals: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"flow_id": NOBODY}, IntegrityConflict),
        ({"work_pool_name": "none"}, NotFound),
        ({"global_concurrency_limit_id": NOBODY}, NotFound),
        ({"storage_document_id": NOBODY}, Conflict),
        ({"infrastructure_document_id": NOBODY}, Conflict),
    ]
    for body, refusal in refusals:
        with pytest.raises(refusal):
            create(world, **body)
    assert world.count("deployment") == 0


def test_parameters_are_checked_on_creation_only_when_that_is_asked_for(world: World) -> None:
    wrong = {"parameters": {"x": "text"}, "parameter_openapi_schema": INTEGER_X}
    with pytest.raises(InvalidRequest):
        create(world, **wrong, enforce_parameter_schema=True)
    create(world, parameter_openapi_schema=INTEGER_X, enforce_parameter_schema=True)
    assert read(world, deploy(world, **wrong))["parameters"] == {"x": "text"}


def test_parameters_on_creation_are_held_to_the_schema_as_it_is_written(world: World) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    with pytest.raises(InvalidRequest):
        create(
            world, parameters={"x": None}, parameter_openapi_schema=schema,
            enforce_parameter_schema=True,
        )  # fmt: skip
    update(world, deploy(world, parameter_openapi_schema=schema), parameters={"x": None})


def test_an_empty_schema_is_that_of_an_object_without_properties(world: World) -> None:
    nothing = {"type": "object", "properties": {}}
    id_ = deploy(world, parameter_openapi_schema={})
    assert read(world, id_)["parameter_openapi_schema"] == nothing
    update(world, id_, parameter_openapi_schema=None, enforce_parameter_schema=False)
    assert read(world, id_)["parameter_openapi_schema"] is None
    update(world, id_, parameter_openapi_schema={}, enforce_parameter_schema=True)
    assert read(world, id_)["parameter_openapi_schema"] == nothing


@pytest.mark.parametrize(
    "body",
    [
        {"parameters": None},
        {"enforce_parameter_schema": None},
        {"storage_document_id": NOBODY},
        {"infrastructure_document_id": NOBODY},
    ],
)
def test_a_change_to_what_cannot_be_is_refused(world: World, body: dict[str, Any]) -> None:
    id_ = deploy(world)
    before = read(world, id_)
    with pytest.raises(IntegrityConflict):
        update(world, id_, **body)
    assert read(world, id_) == before


def test_pausing_and_resuming_again_is_no_update(world: World) -> None:
    id_ = deploy(world, paused=True)
    for paused in (True, False):
        deployments.set_paused(world.tx, id_, paused, world.mint)
        before = read(world, id_)
        assert before["paused"] == paused
        world.pass_seconds(1)
        deployments.set_paused(world.tx, id_, paused, world.mint)
        assert read(world, id_) == before


def test_a_change_tells_of_a_limit_that_goes_and_not_of_one_that_comes(world: World) -> None:
    id_ = deploy(world)
    update(world, id_, concurrency_limit=2)
    assert [each.event for each in deployment_events(world)] == ["prefect.deployment.created"]
    update(world, id_, concurrency_limit=3, version="2")
    changed = deployment_events(world)[-1]
    assert changed.payload["updated_fields"] == ["version"]
    assert changed.related[-1]["prefect.resource.role"] == "concurrency-limit"
    update(world, id_, concurrency_limit=None)
    gone = deployment_events(world)[-1]
    assert gone.payload["updates"]["concurrency_limit_id"]["to"] is None


def test_a_change_hydrates_its_parameters_and_holds_them_to_the_schema(world: World) -> None:
    id_ = deploy(world, parameter_openapi_schema=INTEGER_X)
    asked = {"x": {"__prefect_kind": "workspace_variable", "variable_name": "answer"}}
    update(world, id_, parameters=asked)
    assert read(world, id_)["parameters"] == {"x": 42}
    update(world, id_, parameters={})
    with pytest.raises(Conflict):
        update(world, id_, parameters={"x": "text"})
    with pytest.raises(BadRequest):
        update(world, id_, parameters={"x": {"__prefect_kind": "json", "value": "{"}})
    update(world, id_, parameters={"x": "text"}, enforce_parameter_schema=False)
    assert read(world, id_)["parameters"] == {"x": "text"}


def test_a_circular_schema_is_refused_as_invalid(world: World) -> None:
    id_ = deploy(world)
    circular = {"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}}
    with pytest.raises(Invalid):
        update(world, id_, parameters={"x": 1}, parameter_openapi_schema=circular)


def test_parameters_over_the_limit_are_refused(world: World) -> None:
    with pytest.raises(InvalidRequest):
        create(world, parameters={"x": "y" * 530_000})
    id_ = deploy(world)
    with pytest.raises(InvalidRequest):
        update(world, id_, parameters={"x": "y" * 530_000})


# Queues


def test_a_queue_is_found_made_or_taken_from_its_pool(world: World) -> None:
    pool(world)
    id_ = deploy(world, work_pool_name="pool")
    assert read(world, id_)["work_queue_name"] == "default"
    update(world, id_, work_pool_name="pool", work_queue_name="fresh")
    found = read(world, id_)
    assert (found["work_pool_name"], found["work_queue_name"]) == ("pool", "fresh")
    update(world, id_, work_pool_name=None)
    found = read(world, id_)
    assert (found["work_pool_name"], found["work_queue_id"]) == (None, None)
    assert found["work_queue_name"] == "fresh"


def test_a_queue_without_a_pool_is_made_in_that_of_the_agents(world: World) -> None:
    id_ = deploy(world, work_queue_name="lonely")
    found = read(world, id_)
    assert (found["work_pool_name"], found["work_queue_name"]) == ("default-agent-pool", "lonely")
    assert (
        read(world, deploy(world, name="b", work_queue_name="lonely"))["work_queue_id"]
        == (found["work_queue_id"])
    )


def test_job_variables_must_fit_the_pool_but_may_be_partial(world: World) -> None:
    pool(world, n={"type": "integer"}, m={"type": "string"})
    with pytest.raises(Invalid):
        create(world, work_pool_name="pool", job_variables={"n": "text"})
    id_ = deploy(world, work_pool_name="pool", job_variables={"n": 1})
    with pytest.raises(Conflict):
        update(world, id_, work_pool_name="pool", job_variables={"n": "text"})
    assert read(world, id_)["job_variables"] == {"n": 1}


# Limits


def test_a_limit_of_its_own_is_made_changed_and_deleted_with_it(world: World) -> None:
    id_ = deploy(world, concurrency_limit=3)
    name = f"deployment:{id_}"
    assert read(world, id_)["global_concurrency_limit"]["name"] == name
    update(world, id_, concurrency_limit=4)
    assert read(world, id_)["global_concurrency_limit"]["limit"] == 4
    update(world, id_, concurrency_limit=None)
    assert read(world, id_)["global_concurrency_limit"] is None
    assert world.count("concurrency_limit") == 0
    update(world, id_, concurrency_limit=1)
    deployments.delete(world.tx, id_, world.mint)
    assert world.count("concurrency_limit") == 0


def test_a_shared_limit_is_never_changed_nor_deleted(world: World) -> None:
    limit_id = shared_limit(world)
    one = deploy(world, global_concurrency_limit_id=limit_id)
    other = deploy(world, name="other", global_concurrency_limit_id=limit_id)
    update(world, one, concurrency_limit=2)
    assert read(world, one)["global_concurrency_limit"]["limit"] == 2
    assert read(world, other)["global_concurrency_limit"]["limit"] == 5
    update(world, other, concurrency_limit=None)
    assert read(world, other)["global_concurrency_limit"] is None
    update(world, other, global_concurrency_limit_id=limit_id)
    deployments.delete(world.tx, other, world.mint)
    assert world.count("concurrency_limit", "id = ?", limit_id) == 1


def test_a_deleted_limit_leaves_its_deployments_without_one(world: World) -> None:
    id_ = deploy(world, global_concurrency_limit_id=shared_limit(world))
    limits.delete(world.tx, None, "shared", world.mint)
    assert read(world, id_)["global_concurrency_limit"] is None


# Runs that schedules have made


def test_changes_delete_the_future_runs_of_schedules_and_no_others(world: World) -> None:
    id_ = deploy(world)
    future = scheduled_run(world, id_, "2040-01-01T00:00:00Z")
    late = scheduled_run(world, id_, "2020-01-01T00:00:00Z")
    manual = scheduled_run(world, id_, "2040-01-01T00:00:00Z", auto=False)
    changes(world)
    update(world, id_, description="other")
    assert [is_there(world, run) for run in (future, late, manual)] == [False, True, True]
    assert changes(world) == [id_]


def test_pausing_deletes_what_schedules_have_made_late_runs_too(world: World) -> None:
    id_ = deploy(world)
    late = scheduled_run(world, id_, "2020-01-01T00:00:00Z")
    manual = scheduled_run(world, id_, "2040-01-01T00:00:00Z", auto=False)
    deployments.set_paused(world.tx, id_, True, world.mint)
    assert read(world, id_)["paused"]
    assert (is_there(world, late), is_there(world, manual)) == (False, True)
    deployments.set_paused(world.tx, id_, False, world.mint)
    assert not read(world, id_)["paused"]
    with pytest.raises(NotFound):
        deployments.set_paused(world.tx, NOBODY, True, world.mint)


def test_deleting_takes_every_run_that_never_ran_and_leaves_the_others_its_id(
    world: World,
) -> None:
    id_ = deploy(world, schedules=[{"schedule": HOURLY}], tags=["t"])
    waiting = scheduled_run(world, id_, "2040-01-01T00:00:00Z", auto=False)
    ran = scheduled_run(world, id_, "2020-01-01T00:00:00Z")
    world.set_state(ran, "PENDING")
    changes(world)
    assert deployments.delete(world.tx, id_, world.mint)
    assert (is_there(world, waiting), is_there(world, ran)) == (False, True)
    assert world.count("flow_run", "deployment_id = ?", id_) == 1
    assert world.count("deployment_schedule") == world.count("deployment_tag") == 0
    assert changes(world) == [id_]
    assert not deployments.delete(world.tx, id_, world.mint)


def test_a_run_that_waits_for_a_slot_outlives_its_deployment(world: World) -> None:
    id_ = deploy(world)
    run = scheduled_run(world, id_, "2020-01-01T00:00:00Z")
    world.set_state(run, "SCHEDULED", force=True, name="AwaitingConcurrencySlot")
    deployments.delete(world.tx, id_, world.mint)
    assert is_there(world, run)


def test_a_flow_takes_its_deployments_with_it_and_tells_of_each(world: World) -> None:
    deploy(world, concurrency_limit=1)
    deploy(world, name="other")
    world.tx.published.clear()
    assert flows.delete(world.tx, world.flow_id, world.mint) == "deleted"
    assert [each.event for each in deployment_events(world)] == ["prefect.deployment.deleted"] * 2
    assert world.count("deployment") == world.count("concurrency_limit") == 0
