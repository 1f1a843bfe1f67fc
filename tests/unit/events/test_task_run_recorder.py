"""Task runs from events: whichever order, batch or repetition they come in."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lictor.schema import times
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.commands.record_events import store
from lictor.schema.commands.task_run_changes import Unusable, from_event, is_change
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint
from lictor.schema.tables import events as event_table
from lictor.schema.tables import states, task_runs

NOW = "2026-11-21T12:00:00.000000Z"
FLOW = str(UUID(int=1))
RUN, OTHER_RUN = str(UUID(int=2)), str(UUID(int=3))
TASK, OTHER_TASK, THIRD_TASK = (str(UUID(int=number)) for number in (10, 11, 12))
numbers = itertools.count(1000)


@pytest.fixture(autouse=True)
def flow_runs(tx: SqliteTx) -> None:
    tx.run(
        "INSERT INTO flow (id, created, updated, name, tags, labels) VALUES (?, ?, ?, 'f', ?, ?)",
        (FLOW, NOW, NOW, "[]", "{}"),
    )
    for id_ in (RUN, OTHER_RUN):
        tx.run(
            "INSERT INTO flow_run (id, created, updated, name, flow_id, parameters, context,"
            " empirical_policy, tags, labels)"
            " VALUES (?, ?, ?, 'r', ?, '{}', '{}', '{}', '[]', '{}')",
            (id_, NOW, NOW, FLOW),
        )


@pytest.fixture
def mint() -> Mint:
    return Mint(wall_ns=lambda: 1_800_000_000_000_000_000, random=random.Random(1))


def change(
    name: str,
    second: int,
    /,
    *,
    task: str = TASK,
    run: str | None = RUN,
    key: str = "0",
    state: dict[str, Any] | None = None,
    **task_run: Any,
) -> Event:
    """The event of a task run that enters the state `name` at `second`."""
    type_ = {"Late": "SCHEDULED", "Cached": "COMPLETED"}.get(name, name.upper())
    occurred = times.shift(NOW, second)
    return Event(
        occurred=occurred,
        event=f"prefect.task-run.{name}",
        resource={
            "prefect.resource.id": f"prefect.task-run.{task}",
            "prefect.orchestration": "client",
        },
        related=[]
        if run is None
        else [
            {"prefect.resource.id": "prefect.tag.x", "prefect.resource.role": "tag"},
            {
                "prefect.resource.id": f"prefect.flow-run.{run}",
                "prefect.resource.role": "flow-run",
            },
        ],
        payload={
            "validated_state": {
                "type": type_, "name": name, "message": None, "state_details": {}, "data": None,
                **(state or {}),
            },
            "task_run": {"task_key": "work", "dynamic_key": key, "name": "work-0", **task_run},
        },
        id=str(UUID(int=next(numbers))),
        follows=None,
        received=NOW,
    )  # fmt: skip


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
    {"name": None},
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


reported = st.builds(
    lambda name, second, task, run, key, more: change(
        name, second, task=task, run=run, key=key, **more
    ),
    st.sampled_from(["Pending", "Running", "Completed"]),
    st.integers(0, 4),
    st.sampled_from([TASK, OTHER_TASK, THIRD_TASK]),
    st.sampled_from([RUN, OTHER_RUN, None]),
    st.sampled_from(["0", "1"]),
    st.fixed_dictionaries(
        {},
        optional={
            "run_count": st.integers(0, 3),
            "tags": st.lists(st.sampled_from("abc"), max_size=2),
            "start_time": st.none() | st.just(NOW),
        },
    ),
)


class Model:
    """The recorder as a list of runs, one change at a time."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.states: dict[str, str] = {}

    def apply(self, event: Event) -> None:
        payload = event.payload["task_run"]
        run_id = event.related[1]["prefect.resource.id"][-36:] if event.related else None
        id_ = event.resource["prefect.resource.id"][-36:]
        key = (run_id, payload["task_key"], payload["dynamic_key"])
        found = [run for run in self.runs if run_id is not None and run["key"] == key]
        found += [run for run in self.runs if run["id"] == id_]
        if not found:
            found = [
                {"id": id_, "key": key, "at": "", "run_count": 0, "tags": [], "start_time": None}
            ]
            self.runs += found
        run = found[0]
        self.states[event.id] = run["id"]
        if run["at"] < event.occurred:
            run |= {"key": key, "at": event.occurred, "state": event.id}
            run |= {
                name: payload[name]
                for name in ("run_count", "tags", "start_time")
                if name in payload
            }


@given(changes=st.lists(reported, max_size=10))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200
)
def test_changes_one_by_one_do_what_the_model_does(
    tx: SqliteTx, mint: Mint, changes: list[Event]
) -> None:
    model = Model()
    tx.run("SAVEPOINT example")
    for event in changes:
        model.apply(event)
        store(tx, [event], mint)
    rows = tx.all(
        "SELECT id, flow_run_id, task_key, dynamic_key, state_id, run_count, tags, start_time"
        " FROM task_run ORDER BY seq"
    )
    recorded = dict(tx.all("SELECT id, task_run_id FROM task_run_state"))
    indexed = set(tx.all("SELECT r.id, t.tag FROM task_run_tag t JOIN task_run r ON r.seq = t.seq"))
    tx.run("ROLLBACK TO example")
    assert rows == [
        (
            run["id"], *run["key"], run["state"], run["run_count"],
            msgspec.json.encode(run["tags"]).decode(), run["start_time"],
        )
        for run in model.runs
    ]  # fmt: skip
    assert recorded == model.states
    assert indexed == {(run["id"], tag) for run in model.runs for tag in run["tags"]}


def agree(changes: list[Event]) -> bool:
    """Whether ids and natural keys belong together one to one: as they do but for restarts."""
    pairs = {
        (
            event.resource["prefect.resource.id"],
            str(event.related),
            event.payload["task_run"]["dynamic_key"],
        )
        for event in changes
    }
    return len(pairs) == len({id_ for id_, *_ in pairs}) == len({tuple(key) for _, *key in pairs})


@given(changes=st.lists(reported, max_size=10).filter(agree), size=st.integers(2, 10))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    deadline=None,
    max_examples=100,
)
def test_it_makes_no_difference_how_changes_are_batched(
    tx: SqliteTx, mint: Mint, changes: list[Event], size: int
) -> None:
    outcomes = []
    for step in (1, size):
        tx.run("SAVEPOINT example")
        for first in range(0, len(changes), step):
            store(tx, copy.deepcopy(changes[first : first + step]), mint)
        outcomes.append(
            (
                tx.all("SELECT * FROM task_run ORDER BY seq"),
                tx.all("SELECT id, task_run_id, state_details FROM task_run_state ORDER BY id"),
                tx.all("SELECT * FROM task_run_tag"),
            )
        )
        tx.run("ROLLBACK TO example")
    assert outcomes[0] == outcomes[1]
