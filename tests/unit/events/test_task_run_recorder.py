"""Task runs from events: what each becomes, and what is left alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from task_run_reports import NOW, OTHER_TASK, RUN, TASK, THIRD_TASK, change, insert_flow_runs

from lictor.schema import times
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.commands.record_events import store
from lictor.schema.commands.task_run_changes import Unusable, from_event, is_change
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import events as event_table
from lictor.schema.tables import states, task_runs


@pytest.fixture(autouse=True)
def flow_runs(tx: SqliteTx) -> None:
    insert_flow_runs(tx)


def runs(tx: SqliteTx) -> list[tuple[Any, ...]]:
    return tx.all(
        "SELECT id, flow_run_id, dynamic_key, state_name, run_count FROM task_run ORDER BY seq"
    )


def history(tx: SqliteTx, id_: str) -> list[str]:
    return [state.name for state in states.history_of_task_run(tx, id_)]


def test_a_plain_task_run_comes_from_its_three_events(tx: SqliteTx, mint: Mint) -> None:
    policy = {"max_retries": 0, "retries": 2, "retry_delay": 0}
    more: dict[str, Any] = {
        "tags": ["x"], "labels": {"l": "1"}, "task_inputs": {"p": []}, "empirical_policy": policy,
        "start_time": times.shift(NOW, 2), "unknown": 1,
    }  # fmt: skip
    batch = [
        change("Pending", 1, run_count=0),
        change("Running", 2, run_count=1),
        change("Completed", 3, run_count=1, total_run_time=1.5, **more),
    ]
    store(tx, batch, mint)
    run = task_runs.read(tx, TASK, times.parse(NOW))
    assert run is not None
    assert run.state is not None
    assert (run.state.id, run.state.timestamp) == (batch[2].id, batch[2].occurred)
    assert run.state.state_details.task_run_id == TASK
    assert run.state.state_details.flow_run_id == RUN
    assert (run.name, run.task_key, run.run_count, run.total_run_time) == ("work-0", "work", 1, 1.5)
    assert (run.start_time, run.end_time, run.flow_run_run_count) == (more["start_time"], None, 0)
    assert bytes(run.tags) == b'["x"]'
    assert bytes(run.labels) == b'{"l":"1"}'
    assert bytes(run.task_inputs) == b'{"p":[]}'
    assert msgspec.json.decode(bytes(run.empirical_policy))["retries"] == 2
    assert history(tx, TASK) == ["Pending", "Running", "Completed"]
    assert tx.all("SELECT tag FROM task_run_tag") == [("x",)]


def test_an_older_event_adds_its_state_and_changes_nothing_else(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Completed", 3, run_count=2)], mint)
    store(tx, [change("Running", 2, run_count=1, tags=["late"])], mint)
    store(tx, [change("Cached", 3, run_count=9)], mint)
    assert runs(tx) == [(TASK, RUN, "0", "Completed", 2)]
    assert history(tx, TASK) == ["Running", "Completed", "Cached"]
    assert tx.all("SELECT * FROM task_run_tag") == []


def test_a_run_without_a_state_takes_the_first_that_comes(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Pending", 1)], mint)
    tx.run("UPDATE task_run SET state_id = NULL, state_timestamp = NULL, state_name = NULL")
    store(tx, [change("Running", -5)], mint)
    assert runs(tx)[0][3] == "Running"


def test_a_repeated_event_changes_nothing(tx: SqliteTx, mint: Mint) -> None:
    event = change("Completed", 1, state={"data": {"result": 1}})
    store(tx, [event, event], mint)
    store(tx, [event], mint)
    tx.run("DELETE FROM event")
    store(tx, [event], mint)
    assert history(tx, TASK) == ["Completed"]
    assert tx.all("SELECT count(*) FROM artifact") == [(1,)]


def test_the_natural_key_wins_over_a_new_id(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Running", 1)], mint)
    store(tx, [change("Completed", 2, task=OTHER_TASK)], mint)
    assert runs(tx) == [(TASK, RUN, "0", "Completed", 0)]
    assert history(tx, TASK) == ["Running", "Completed"]
    state = states.history_of_task_run(tx, TASK)[1]
    assert state.state_details.task_run_id == TASK


def test_a_run_first_seen_outside_of_its_flow_run_moves_into_it(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Pending", 1, run=None)], mint)
    store(tx, [change("Running", 2)], mint)
    assert runs(tx) == [(TASK, RUN, "0", "Running", 0)]


def test_an_event_without_a_flow_run_takes_the_run_out_of_it(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Pending", 1)], mint)
    store(tx, [change("Running", 2, run=None)], mint)
    assert runs(tx) == [(TASK, None, "0", "Running", 0)]


def test_runs_outside_of_flows_are_known_by_their_ids_alone(tx: SqliteTx, mint: Mint) -> None:
    store(
        tx, [change("Running", 1, run=None), change("Running", 1, run=None, task=OTHER_TASK)], mint
    )
    assert [row[0] for row in runs(tx)] == [TASK, OTHER_TASK]


def test_one_foreign_id_means_one_run_within_a_batch(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Running", 1)], mint)
    batch = [change("Late", 2, task=OTHER_TASK), change("Completed", 3, task=OTHER_TASK, key="1")]
    store(tx, batch, mint)
    assert runs(tx) == [(TASK, RUN, "1", "Completed", 0)]


def test_runs_may_swap_their_keys_within_a_batch(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Running", 1), change("Running", 1, task=OTHER_TASK, key="1")], mint)
    batch = [
        change("Running", 2, key="2"),
        change("Running", 3, task=OTHER_TASK, key="0"),
        change("Running", 4, key="1"),
        change("Pending", 5, task=THIRD_TASK, key="2"),
    ]
    store(tx, batch, mint)
    assert sorted(row[:3] for row in runs(tx)) == [
        (TASK, RUN, "1"), (OTHER_TASK, RUN, "0"), (THIRD_TASK, RUN, "2"),
    ]  # fmt: skip


def test_absent_columns_keep_their_value_and_null_is_written(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Pending", 1, cache_key="k", task_version="1", start_time=NOW)], mint)
    store(tx, [change("Running", 2, cache_key=None, start_time=None)], mint)
    assert tx.all("SELECT cache_key, task_version, start_time FROM task_run") == [(None, "1", None)]


def test_tags_are_indexed_as_they_change(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Pending", 1, tags=["a", "b", "a"])], mint)
    store(tx, [change("Running", 2)], mint)
    assert sorted(tx.all("SELECT tag FROM task_run_tag")) == [("a",), ("b",)]
    store(tx, [change("Late", 3, tags=["b", "c"]), change("Completed", 4, tags=["b", "c"])], mint)
    assert sorted(tx.all("SELECT tag FROM task_run_tag")) == [("b",), ("c",)]


def test_a_run_without_a_name_gets_one_of_two_words(tx: SqliteTx, mint: Mint) -> None:
    event = change("Pending", 1)
    del event.payload["task_run"]["name"]
    store(tx, [event], mint)
    [(name,)] = tx.all("SELECT name FROM task_run")
    assert len(name.split("-")) == 2


def test_events_of_a_flow_run_that_is_gone_are_kept_without_a_run(tx: SqliteTx, mint: Mint) -> None:
    gone = change("Running", 1, run=str(UUID(int=99)))
    store(tx, [gone, change("Running", 1, task=OTHER_TASK)], mint)
    assert [row[0] for row in runs(tx)] == [OTHER_TASK]
    assert tx.all("SELECT count(*) FROM task_run_state") == [(1,)]
    assert len(event_table.read_after(tx, 0, 10)) == 2


def test_a_result_becomes_an_artifact_and_the_event_keeps_it_whole(
    tx: SqliteTx, mint: Mint
) -> None:
    data = {"storage": "s3", "artifact_key": "k", "artifact_type": ["no", "text"]}
    event = change("Completed", 1, state={"data": data})
    store(tx, [event], mint)
    assert tx.all("SELECT key, type, data, flow_run_id, task_run_id FROM artifact") == [
        ("k", None, '{"storage":"s3"}', RUN, TASK)
    ]
    assert bytes(states.history_of_task_run(tx, TASK)[0].data) == b'{"storage":"s3"}'
    assert event.payload["validated_state"]["data"] == data


def test_a_state_may_bring_its_own_id_time_and_details(tx: SqliteTx, mint: Mint) -> None:
    own = {
        "id": str(UUID(int=77)), "timestamp": "2026-11-21T13:00:05+01:00", "name": None,
        "state_details": {"cache_key": "k", "retriable": False, "task_run_id": OTHER_TASK},
    }  # fmt: skip
    store(tx, [change("Failed", 1, state=own)], mint)
    [state] = states.history_of_task_run(tx, TASK)
    assert (state.id, state.name, state.timestamp) == (own["id"], "Failed", times.shift(NOW, 5))
    details = state.state_details
    assert (details.cache_key, details.retriable, details.task_run_id) == ("k", False, TASK)


BAD: list[dict[str, Any]] = [
    {"payload": {}},
    {"payload": {"task_run": {"task_key": "k", "dynamic_key": "0"}}},
    {"payload": {"task_run": {"dynamic_key": "0"}, "validated_state": {"type": "RUNNING"}}},
    {"payload": {"task_run": [], "validated_state": {"type": "RUNNING"}}},
    {"resource": {"prefect.resource.id": "prefect.task-run.1", "prefect.orchestration": "client"}},
    {"resource": {"prefect.resource.id": TASK, "prefect.orchestration": "client"}},
    {"related": [{"prefect.resource.id": "x", "prefect.resource.role": "flow-run"}]},
]
BAD_TASK_RUNS: list[dict[str, Any]] = [
    {"run_count": 2**63},
    {"run_count": "many"},
    {"tags": [1]},
    {"labels": {"a": []}},
    {"start_time": "soon"},
    {"start_time": "0001-01-01T00:00:00+05:00"},
    {"task_inputs": {"x": [{"input_type": "magic"}]}},
]


@pytest.mark.parametrize(
    "bad",
    [msgspec.structs.replace(change("Running", 1), **parts) for parts in BAD]
    + [change("Running", 1, **parts) for parts in BAD_TASK_RUNS]
    + [change("Running", 1, state={"type": "NAPPING"})],
)
def test_a_bad_event_is_kept_and_stops_no_other(tx: SqliteTx, mint: Mint, bad: Event) -> None:
    with pytest.raises(Unusable):
        from_event(bad)
    store(tx, [bad, change("Running", 1, task=OTHER_TASK)], mint)
    assert [row[0] for row in runs(tx)] == [OTHER_TASK]
    assert len(event_table.read_after(tx, 0, 10)) == 2


def test_only_task_run_events_that_clients_orchestrate_are_recorded(
    tx: SqliteTx, mint: Mint
) -> None:
    served = change("Running", 1)
    del served.resource["prefect.orchestration"]
    other = msgspec.structs.replace(change("Running", 1), event="prefect.flow-run.Running")
    assert not is_change(served)
    assert not is_change(other)
    store(tx, [served, other], mint)
    assert runs(tx) == []


def test_a_report_is_read_as_leniently_as_a_request(tx: SqliteTx, mint: Mint) -> None:
    store(tx, [change("Running", 1, run_count="5", total_run_time="2.5", name=None)], mint)
    run = task_runs.read(tx, TASK, times.parse(NOW))
    assert run is not None
    assert (run.run_count, run.total_run_time) == (5, 2.5)
    assert "-" in run.name
    store(tx, [change("Completed", 2, name="")], mint)
    renamed = task_runs.read(tx, TASK, times.parse(NOW))
    assert renamed is not None
    assert renamed.name == run.name


def test_labels_are_null_until_they_are_reported(tx: SqliteTx, mint: Mint) -> None:
    store(
        tx, [change("Pending", 1), change("Pending", 1, task=OTHER_TASK, key="1", labels={})], mint
    )
    found = [task_runs.read(tx, id_, times.parse(NOW)) for id_ in (TASK, OTHER_TASK)]
    assert [bytes(run.labels) for run in found if run is not None] == [b"null", b"{}"]


def test_a_scheduled_state_that_names_no_time_is_due_when_it_arrives(
    tx: SqliteTx, mint: Mint
) -> None:
    due = times.shift(NOW, 60)
    late = change("Late", 2, key="1", state={"state_details": {"scheduled_time": due}})
    store(tx, [change("Late", 1), late], mint)
    details = [state.state_details for state in states.history_of_task_run(tx, TASK)]
    assert [item.scheduled_time for item in details] == [NOW, due]
