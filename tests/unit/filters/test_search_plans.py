"""The plans of the hot searches: indexes in the order of the page, no table read from end to end.

Plans are taken with `SMALL = 0`, as for a database where nothing is rare, which is where a wrong
plan would hurt.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
import pytest
from conftest import insert

from lictor.actors.ingress.api.paging import filters_of
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.tables import dashboard, flow_run_paths, search
from lictor.schema.wire.filters import FlowRunFilters, RunFilters

NOW = datetime(2030, 1, 2, tzinfo=UTC)
FLOWS = [f"00000001-0000-7000-8000-00000000000{n}" for n in range(3)]
STATES = ("COMPLETED", "FAILED", "RUNNING")


class Explaining(SqliteTx):
    """Notes the plan of every statement it runs."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.steps: list[str] = []

    def all(self, sql: str, args: Any = ()) -> list[Any]:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", args).fetchall()
        self.steps += [step[3] for step in plan]
        return super().all(sql, args)

    def one(self, sql: str, args: Any = ()) -> Any:
        rows = self.all(sql, args)
        return rows[0] if rows else None


@pytest.fixture
def plan(tx: SqliteTx) -> Any:
    for n, flow_id in enumerate(FLOWS):
        insert(tx, "flow", {"id": flow_id, "name": f"flow-{n}"})
        for m, state in enumerate(STATES):
            insert(tx, "flow_run", {
                "id": f"00000002-0000-7000-8000-0000000000{n}{m}", "name": "run",
                "flow_id": flow_id, "state_type": state, "state_name": state.title(),
                "tags": ["bench"],
            })  # fmt: skip
    explaining = Explaining(tx.connection)

    def run(query: Any) -> list[str]:
        explaining.steps = []
        with mock.patch.object(flow_run_paths, "SMALL", 0):
            query(explaining)
        return explaining.steps

    return run


def flow_runs(body: Any, sort: Any) -> Any:
    filters = filters_of(msgspec.convert(body, FlowRunFilters))
    return lambda tx: search.flow_runs(tx, filters, sort, 50, 0, NOW)


def state(*types: str) -> dict[str, Any]:
    return {"flow_runs": {"state": {"type": {"any_": list(types)}}}}


def flows(*ids: str) -> dict[str, Any]:
    return {"flows": {"id": {"any_": list(ids)}}}


WALKS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "EXPECTED_START_TIME_DESC", "flow_run_by_expected_start"),
    ({}, "START_TIME_DESC", "flow_run_by_start"),
    ({}, "NAME_ASC", "flow_run_by_name"),
    ({}, "ID_DESC", "sqlite_autoindex_flow_run_1"),
    (state("RUNNING"), "START_TIME_DESC", "flow_run_by_state_and_start"),
    (state("RUNNING", "FAILED"), "START_TIME_ASC", "flow_run_by_state_and_start"),
    (
        state("RUNNING", "FAILED"),
        "EXPECTED_START_TIME_DESC",
        "flow_run_by_state_and_expected_start",
    ),
    (flows(FLOWS[0]), "EXPECTED_START_TIME_DESC", "flow_run_by_flow"),
    (flows(*FLOWS), "EXPECTED_START_TIME_DESC", "flow_run_by_flow"),
    (flows(FLOWS[0]), "START_TIME_DESC", "flow_run_by_state_and_start"),
    ({"flows": {"name": {"like_": "flow"}}}, "START_TIME_DESC", "flow_run_by_state_and_start"),
    ({"flow_runs": {"tags": {"all_": ["bench"]}}}, "START_TIME_DESC", "flow_run_by_start"),
    (
        {
            **flows(*FLOWS[:2]),
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": ["bench"]}},
        },
        "START_TIME_DESC",
        "flow_run_by_state_and_start",
    ),
]


@pytest.mark.parametrize(("body", "sort", "index"), WALKS)
def test_a_page_of_flow_runs_is_walked_in_the_order_of_its_sort(
    plan: Any, body: Any, sort: str, index: str
) -> None:
    steps = plan(flow_runs(body, sort))
    assert any(f"INDEX {index}" in step for step in steps), steps
    assert "SCAN fr" not in steps
    pages = [step for step in steps if step.startswith(("SCAN fr", "SEARCH fr"))]
    for step in pages:
        assert f"INDEX {index}" in step or "INTEGER PRIMARY KEY" in step, steps


@pytest.mark.parametrize(
    "body",
    [
        {"deployments": {"id": {"any_": FLOWS}}},
        {"deployments": {"id": {"any_": FLOWS}}, **state("RUNNING")},
        {"deployments": {"id": {"any_": FLOWS}}, "flow_runs": {"operator": "or_"}},
        {"flow_runs": {"deployment_id": {"any_": FLOWS}}},
    ],
)
def test_the_few_runs_of_a_deployment_are_found_by_its_id(plan: Any, body: Any) -> None:
    filters = filters_of(msgspec.convert(body, FlowRunFilters))

    def count(tx: Any) -> None:
        search.count_flow_runs(tx, filters)

    for query in (flow_runs(body, "EXPECTED_START_TIME_DESC"), count):

        def with_few(tx: Any, query: Any = query) -> None:
            with mock.patch.object(flow_run_paths, "SMALL", 1):
                query(tx)

        steps = plan(with_few)
        assert any("INDEX flow_run_by_deployment" in step for step in steps), steps
        assert not any("flow_run_by_expected" in step for step in steps), steps


def test_the_tally_answers_counts_of_flows_and_states(plan: Any) -> None:
    for body in ({}, state("COMPLETED"), {**flows(FLOWS[0]), **state("FAILED")}):
        filters = filters_of(msgspec.convert(body, FlowRunFilters))
        steps = plan(lambda tx, filters=filters: search.count_flow_runs(tx, filters))
        assert not any("flow_run " in step or "fr" in step.split() for step in steps), steps
    for body in ({}, {"task_runs": {"state": {"type": {"any_": ["FAILED"]}}}}):
        filters = filters_of(msgspec.convert(body, RunFilters))
        steps = plan(lambda tx, filters=filters: search.count_task_runs(tx, filters))
        assert not any("INDEX task_run_by" in step for step in steps), steps


WINDOW = {"after_": "2030-01-01T00:00:00Z", "before_": "2030-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("start_time", "flow_run_by_state_and_start"),
        ("expected_start_time", "flow_run_by_state_and_expected_start"),
    ],
)
def test_a_count_of_states_in_a_window_reads_only_an_index(
    plan: Any, key: str, index: str
) -> None:
    body = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}, key: WINDOW}}
    filters = filters_of(msgspec.convert(body, FlowRunFilters))
    steps = plan(lambda tx: search.count_flow_runs(tx, filters))
    assert any(f"COVERING INDEX {index}" in step for step in steps), steps


def test_the_task_runs_of_a_flow_run_are_found_by_its_id(plan: Any) -> None:
    body = {
        "flow_runs": {"id": {"any_": [FLOWS[0]]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    filters = filters_of(msgspec.convert(body, RunFilters))
    for query in (
        lambda tx: search.count_task_runs(tx, filters),
        lambda tx: search.task_runs(tx, filters, "EXPECTED_START_TIME_ASC", 50, 0, NOW),
        lambda tx: dashboard.count_task_runs(tx, FLOWS),
    ):
        steps = plan(query)
        assert any("INDEX task_run_by_natural_key (flow_run_id=?)" in step for step in steps), steps


def test_the_next_run_of_a_flow_is_the_head_of_an_index(plan: Any) -> None:
    steps = plan(lambda tx: dashboard.next_runs(tx, FLOWS))
    assert any("COVERING INDEX flow_run_by_next_start (flow_id=?" in step for step in steps), steps
    assert not any("ORDER BY" in step for step in steps), steps
