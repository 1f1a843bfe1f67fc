"""What a write to a task run leaves in its tables."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from command_world import World

from lictor.schema.commands import task_runs
from lictor.schema.errors import IntegrityConflict, InvalidRequest, Missing, NotFound
from lictor.schema.tables import task_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.task_runs import TaskRun, TaskRunUpdate

NOBODY = "00000000-0000-4000-8000-000000000000"


def read(world: World, id_: str) -> TaskRun:
    run = table.read(world.tx, id_, parse(world.mint.now()))
    assert run is not None
    return run


def answer(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_a_task_run_inherits_the_labels_of_its_flow_run(world: World) -> None:
    run = world.run(labels={"a": 1})
    task = world.task(flow_run_id=run.id, labels={"b": True})
    assert answer(task)["labels"] == {
        "from": "flow",
        "prefect.flow.id": world.flow_id,
        "a": 1,
        "prefect.flow-run.id": run.id,
        "b": True,
    }
    assert task.state_type == "PENDING"


@pytest.mark.parametrize("in_a_flow", [True, False])
def test_the_same_keys_answer_the_first_task_run_unchanged(world: World, in_a_flow: bool) -> None:
    where = {"flow_run_id": world.run().id} if in_a_flow else {}
    first, is_new = world.create_task(**where, name="one")
    second, is_second_new = world.create_task(**where, name="two", state={"type": "RUNNING"})
    assert (is_new, is_second_new) == (True, False)
    assert (second.id, second.name, second.state_type) == (first.id, "one", "PENDING")
    other, is_other_new = world.create_task(**where, dynamic_key="1")
    assert is_other_new
    assert other.id != first.id


def test_a_taken_id_and_an_unknown_flow_run_are_conflicts(world: World) -> None:
    task = world.task()
    with pytest.raises(IntegrityConflict):
        world.task(id=task.id, dynamic_key="1")
    with pytest.raises(IntegrityConflict):
        world.task(flow_run_id=NOBODY)


def test_a_cache_key_that_is_too_long_is_refused(world: World) -> None:
    world.task(cache_key="k" * 2000)
    with pytest.raises(InvalidRequest):
        world.task(dynamic_key="1", cache_key="k" * 2001)


def test_inputs_and_policy_come_back_as_they_were_given(world: World) -> None:
    inputs = {
        "a": [{"input_type": "task_run", "id": NOBODY}],
        "b": [{"input_type": "parameter", "name": "p"}, {"input_type": "constant", "type": "int"}],
    }
    task = world.task(task_inputs=inputs, empirical_policy={"retries": 2, "retry_delay": [1, 2.5]})
    assert answer(read(world, task.id))["task_inputs"] == inputs
    assert answer(task)["empirical_policy"]["retry_delay"] == [1, 2.5]


def test_a_task_may_only_start_while_its_flow_runs(world: World) -> None:
    run = world.run()
    task = world.task(flow_run_id=run.id)
    assert world.set_task_state(task.id, "RUNNING").status == "ABORT"
    world.set_state(run.id, "RUNNING")
    assert world.set_task_state(task.id, "RUNNING").status == "ACCEPT"
    now = read(world, task.id)
    assert (now.run_count, now.flow_run_run_count) == (1, 1)


def test_a_completed_state_with_a_cache_key_answers_later_runs(world: World) -> None:
    run = world.run(state={"type": "RUNNING"})
    first = world.task(flow_run_id=run.id)
    second = world.task(flow_run_id=run.id, dynamic_key="1")
    key = {"state_details": {"cache_key": "ck"}}
    world.set_task_state(first.id, "RUNNING", **key)
    world.set_task_state(first.id, "COMPLETED", data={"type": "kept", "v": 1}, **key)
    result = world.set_task_state(second.id, "RUNNING", **key)
    assert result.status == "REJECT"
    assert result.state is not None
    assert (result.state.name, result.state.type) == ("Cached", "COMPLETED")
    assert answer(read(world, second.id))["state"]["data"] == {"type": "kept", "v": 1}
    assert read(world, second.id).run_count == 0


def test_a_name_that_is_left_out_is_made_up_anew(world: World) -> None:
    task = world.task(name="given")
    task_runs.rename(world.tx, task.id, TaskRunUpdate(name="other"), world.mint)
    assert read(world, task.id).name == "other"
    task_runs.rename(world.tx, task.id, TaskRunUpdate(), world.mint)
    assert read(world, task.id).name not in ("other", "")
    with pytest.raises(NotFound):
        task_runs.rename(world.tx, NOBODY, TaskRunUpdate(), world.mint)


def test_a_deleted_task_run_takes_its_states_tags_and_results_with_it(world: World) -> None:
    task = world.task(tags=["t"])
    world.set_task_state(task.id, "COMPLETED", data={"r": 1})
    assert task_runs.delete(world.tx, task.id)
    assert not task_runs.delete(world.tx, task.id)
    for name in ("task_run", "task_run_state", "task_run_tag", "artifact"):
        assert world.count(name) == 0, name


def test_an_unknown_task_run_is_missing(world: World) -> None:
    with pytest.raises(Missing):
        world.set_task_state(NOBODY, "RUNNING")
