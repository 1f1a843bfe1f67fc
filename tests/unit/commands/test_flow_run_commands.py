"""What a write to a flow run leaves in its tables, and what it leaves alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from command_world import World, as_sent

from lictor.schema.commands import bulk, flow_run_changes, flow_runs, work_pools
from lictor.schema.errors import BadRequest, IntegrityConflict, InvalidRequest, Missing, NotFound
from lictor.schema.tables import flow_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.flow_runs import FlowRun, FlowRunUpdate
from lictor.schema.wire.states import SetState
from lictor.schema.wire.work_pools import WorkPoolCreate

NOBODY = "00000000-0000-4000-8000-000000000000"


def answer(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def read(world: World, id_: str) -> FlowRun:
    run = table.read(world.tx, id_, parse(world.mint.now()))
    assert run is not None
    return run


def update(world: World, id_: str, **body: Any) -> None:
    decoded = as_sent(body, FlowRunUpdate)
    flow_run_changes.update(world.tx, id_, decoded, world.mint, world.settings)


def test_the_answer_of_a_creation_is_what_reading_the_run_gives(world: World) -> None:
    created = world.run(
        name="full",
        tags=["b", "a", "b"],
        parameters={"x": 1, "deep": {"y": [None]}},
        context={"c": {}},
        labels={"k": 2},
        idempotency_key="once",
        empirical_policy={"retries": 3, "retry_delay": 5},
        job_variables={"image": "i"},
        state={"type": "SCHEDULED", "message": "soon", "data": {"type": "kept"}},
    )

    again = answer(read(world, created.id))
    first = answer(created)
    for moving in ("estimated_start_time_delta", "estimated_run_time"):
        again.pop(moving)
        first.pop(moving)
    assert again == first
    assert first["tags"] == ["b", "a", "b"]
    assert first["labels"] == {"from": "flow", "prefect.flow.id": world.flow_id, "k": 2}
    assert first["state"]["data"] == {"type": "kept"}
    assert first["empirical_policy"]["retries"] == 3


def test_a_run_without_state_and_name_is_pending_and_named(world: World) -> None:
    run = world.run()
    assert run.state_type == "PENDING"
    assert run.state is not None
    assert run.state.name == "Pending"
    assert run.name.count("-") == 1


def test_values_of_parameters_are_kept_to_the_letter(world: World) -> None:
    body = msgspec.json.decode(
        b'{"flow_id":"%s","parameters":{"big":123456789012345678901234567890,"f":1.0}}'
        % world.flow_id.encode(),
        type=flow_runs.FlowRunCreate,
    )
    run, _ = flow_runs.create(world.tx, body, None, world.mint, world.settings)
    assert bytes(run.parameters) == b'{"big":123456789012345678901234567890,"f":1.0}'


def test_a_known_idempotency_key_answers_the_first_run_and_changes_nothing(world: World) -> None:
    first, is_new = world.create_run(name="one", idempotency_key="k")
    second, is_second_new = world.create_run(
        name="two", idempotency_key="k", state={"type": "RUNNING"}
    )
    assert (is_new, is_second_new) == (True, False)
    assert (second.id, second.name, second.state_type) == (first.id, "one", "PENDING")
    assert world.count("flow_run_state") == 1
    assert len(world.events()) == 1


def test_an_empty_idempotency_key_is_stored_but_never_looked_for(world: World) -> None:
    world.run(idempotency_key="")
    with pytest.raises(IntegrityConflict):
        world.run(idempotency_key="")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"flow_id": NOBODY}, IntegrityConflict),
        ({"work_pool_name": "none"}, NotFound),
        ({"work_pool_name": "none", "work_queue_name": "q"}, NotFound),
        ({"parent_task_run_id": NOBODY}, IntegrityConflict),
        ({"infrastructure_document_id": NOBODY}, IntegrityConflict),
        ({"parameters": {"x": "y" * 600_000}}, InvalidRequest),
    ],
)
def test_a_refused_creation_says_why(world: World, body: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        world.run(**body)


def test_an_empty_name_of_a_pool_or_a_queue_counts_as_none(world: World) -> None:
    assert world.run(work_pool_name="", work_queue_name="q").work_queue_id is None
    pool = work_pools.create(world.tx, WorkPoolCreate(name="pool"), world.mint)
    assert world.run(work_pool_name="pool", work_queue_name="").work_queue_id == (
        pool.default_queue_id
    )


def test_a_deployment_that_is_not_there_labels_no_run(world: World) -> None:
    run = answer(world.run(deployment_id=NOBODY))
    assert run["deployment_id"] == NOBODY
    assert run["labels"] == {"from": "flow", "prefect.flow.id": world.flow_id}


def test_a_policy_counts_whole_seconds_and_each_pause_once(world: World) -> None:
    run = answer(world.run(empirical_policy={"pause_keys": ["b", "a", "b"]}))
    assert run["empirical_policy"]["pause_keys"] == ["b", "a"]
    run = answer(world.run(empirical_policy={"retry_delay": 3, "retry_delay_seconds": 0.5}))
    assert run["empirical_policy"]["retry_delay"] == 3
    with pytest.raises(ValueError, match="fractional part"):
        world.run(empirical_policy={"retry_delay_seconds": 0.5})


def test_a_transition_writes_its_state_its_run_and_its_event(world: World) -> None:
    run = world.run(name="r", tags=["mine"])
    world.pass_seconds(2)
    result = world.set_state(run.id, "RUNNING", message="off we go")

    assert result.status == "ACCEPT"
    now = read(world, run.id)
    assert result.state is not None
    assert now.state_id == result.state.id
    assert (now.state_type, now.run_count) == ("RUNNING", 1)
    assert now.start_time == result.state.timestamp
    assert now.updated > run.updated
    assert world.history(run.id) == ["Pending", "Running"]
    event = world.events()[-1]
    assert event.id == result.state.id
    assert event.event == "prefect.flow-run.Running"
    assert event.occurred == result.state.timestamp
    assert event.follows == run.state_id
    assert event.resource["prefect.state-message"] == "off we go"
    assert event.payload["intended"] == {"from": "PENDING", "to": "RUNNING"}
    assert [resource["prefect.resource.id"] for resource in event.related] == [
        f"prefect.flow.{world.flow_id}",
        "prefect.tag.mine",
        "prefect.tag.of-flow",
    ]
    assert world.count("event") == 2


def test_an_event_follows_nothing_older_than_five_minutes(world: World) -> None:
    run = world.run()
    world.pass_seconds(301)
    world.set_state(run.id, "RUNNING")
    assert world.events()[-1].follows is None


def test_a_long_message_is_cut_in_the_middle_of_the_event_only(world: World) -> None:
    run = world.run()
    message = "a" * 60_000 + "b" * 60_000
    result = world.set_state(run.id, "RUNNING", message=message)
    assert result.state is not None
    assert result.state.message == message
    cut = world.events()[-1].resource["prefect.state-message"]
    assert cut == "a" * 50_000 + "...20000 additional characters..." + "b" * 50_000
    whole = "c" * 100_010
    world.set_state(run.id, "RUNNING", message=whole)
    assert world.events()[-1].resource["prefect.state-message"] == whole


def test_a_refused_proposal_writes_nothing(world: World) -> None:
    run = world.run(state={"type": "CANCELLED"})
    before = answer(read(world, run.id))
    result = world.set_state(run.id, "PENDING")
    after = answer(read(world, run.id))
    assert result.status == "ABORT"
    assert result.state is not None
    assert result.state.id == run.state_id
    assert after == before
    assert world.history(run.id) == ["Cancelled"]
    assert len(world.events()) == 1


def test_a_failure_with_retries_left_becomes_a_wait_and_keeps_its_policy(world: World) -> None:
    run = world.run(empirical_policy={"retries": 1, "retry_delay": 10})
    world.set_state(run.id, "RUNNING")
    result = world.set_state(run.id, "FAILED", message="boom")
    assert result.status == "REJECT"
    assert result.state is not None
    assert (result.state.name, result.state.message) == ("AwaitingRetry", "boom")
    stored = answer(read(world, run.id))
    assert stored["empirical_policy"]["retry_type"] == "in_process"
    assert stored["next_scheduled_start_time"] == result.state.state_details.scheduled_time

    waits = world.set_state(run.id, "RUNNING")
    assert waits.status == "WAIT"
    assert waits.details["delay_seconds"] in (9, 10)
    world.pass_seconds(10)
    assert world.set_state(run.id, "RUNNING").status == "ACCEPT"
    assert world.set_state(run.id, "FAILED").status == "ACCEPT"
    assert read(world, run.id).run_count == 2


def test_force_passes_the_rules_by(world: World) -> None:
    run = world.run(state={"type": "CANCELLED"})
    assert world.set_state(run.id, "PENDING", force=True).status == "ACCEPT"


def test_two_states_of_one_microsecond_are_told_apart(world: World) -> None:
    run = world.run()
    frozen = world.now_ns
    world.set_state(run.id, "RUNNING")
    world.now_ns = frozen - 3_000  # the clock is set back
    result = world.set_state(run.id, "RUNNING")
    assert result.status == "ACCEPT"
    assert len(world.history(run.id)) == 3


def test_an_unknown_run_is_missing(world: World) -> None:
    with pytest.raises(Missing):
        world.set_state(NOBODY, "RUNNING")


def test_kept_data_lives_in_an_artifact_and_unpersisted_data_is_only_echoed(world: World) -> None:
    run = world.run()
    echoed = world.set_state(run.id, "RUNNING", data={"type": "unpersisted"})
    assert echoed.state is not None
    assert answer(echoed.state)["data"] == {"type": "unpersisted"}
    assert answer(read(world, run.id))["state"]["data"] is None
    assert world.count("artifact") == 0

    data = {"type": "result", "artifact_key": "k", "artifact_description": "d", "v": 1}
    world.set_state(run.id, "COMPLETED", data=data)
    assert answer(read(world, run.id))["state"]["data"] == {"type": "result", "v": 1}
    row = world.tx.one("SELECT key, type, description, flow_run_id FROM artifact")
    assert row == ("k", None, "d", run.id)


def test_the_task_run_of_a_subflow_follows_it(world: World) -> None:
    parent = world.run()
    task = world.task(flow_run_id=parent.id)
    child = world.run(parent_task_run_id=task.id)
    world.set_state(child.id, "RUNNING", message="child runs")

    row = world.tx.one(
        "SELECT s.id, s.name, s.message, s.state_details FROM task_run t"
        " JOIN task_run_state s ON s.id = t.state_id WHERE t.id = ?",
        (task.id,),
    )
    assert row is not None
    assert row[1:3] == ("Running", "child runs")
    details = json.loads(row[3])
    assert details["child_flow_run_id"] == child.id
    assert details["task_run_id"] == task.id
    assert row[0] != read(world, child.id).state_id
    event = world.events()[-1]
    assert f"prefect.task-run.{task.id}" in [r["prefect.resource.id"] for r in event.related]


def test_only_the_fields_of_a_patch_are_written(world: World) -> None:
    run = world.run(name="old", tags=["a"], parameters={"x": 1})
    update(world, run.id, tags=["b", "c"], infrastructure_pid="42")
    now = answer(read(world, run.id))
    assert (now["name"], now["parameters"]) == ("old", {"x": 1})
    assert (now["tags"], now["infrastructure_pid"]) == (["b", "c"], "42")
    assert [tag for (tag,) in world.tx.all("SELECT tag FROM flow_run_tag")] == ["b", "c"]


def test_a_patch_is_refused_for_an_unknown_run_and_for_late_job_variables(world: World) -> None:
    with pytest.raises(NotFound):
        update(world, NOBODY, name="x")
    run = world.run()
    with pytest.raises(BadRequest, match="PENDING"):
        update(world, run.id, job_variables={"a": 1}, name="x")
    assert read(world, run.id).name == run.name


def test_labels_are_merged_and_the_new_ones_win(world: World) -> None:
    run = world.run(labels={"a": 1, "b": 2})
    flow_run_changes.merge_labels(world.tx, run.id, {"b": 3}, world.mint)
    labels = answer(read(world, run.id))["labels"]
    assert labels == {"from": "flow", "prefect.flow.id": world.flow_id, "a": 1, "b": 3}
    with pytest.raises(Missing):
        flow_run_changes.merge_labels(world.tx, NOBODY, {}, world.mint)


def test_a_deleted_run_takes_everything_of_its_own_with_it(world: World) -> None:
    kept = world.run(tags=["t"])
    run = world.run(tags=["t"], state={"type": "COMPLETED", "data": {"r": 1}})
    task = world.task(flow_run_id=run.id, tags=["u"])
    world.set_task_state(task.id, "COMPLETED", force=True, data={"r": 2})
    assert world.count("artifact") == 2

    assert flow_runs.delete(world.tx, run.id)
    assert not flow_runs.delete(world.tx, run.id)
    for name in ("task_run", "task_run_state", "task_run_tag", "artifact"):
        assert world.count(name) == 0, name
    assert world.count("flow_run") == world.count("flow_run_state") == 1
    assert world.count("flow_run_tag") == 1
    assert read(world, kept.id).id == kept.id


def test_a_bulk_command_takes_the_greatest_ids_first_and_survives_a_vanished_run(
    world: World,
) -> None:
    runs = [world.run() for _ in range(3)]
    ids = bulk.matching_ids(world.tx, None, 2)
    assert ids == [runs[2].id, runs[1].id]
    body = as_sent({"state": {"type": "RUNNING"}}, SetState)
    args = (body, world.mint, world.settings)
    assert bulk.set_state_of_one(world.tx, ids[0], *args).status == "ACCEPT"
    gone = bulk.set_state_of_one(world.tx, NOBODY, *args)
    assert (gone.status, gone.state) == ("ABORT", None)
    assert gone.details["type"] == "abort_details"
