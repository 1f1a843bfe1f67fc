"""The task-run recorder against a model, in every order, batch and repetition."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_run_reports import (
    NOW,
    OTHER_RUN,
    OTHER_TASK,
    RUN,
    TASK,
    THIRD_TASK,
    change,
    insert_flow_runs,
)

from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.commands.record_events import store
from lictor.schema.events.event import Event
from lictor.schema.mint import Mint


@pytest.fixture(autouse=True)
def flow_runs(tx: SqliteTx) -> None:
    insert_flow_runs(tx)


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
