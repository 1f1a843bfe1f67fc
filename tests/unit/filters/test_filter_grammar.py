"""The grammar: which keys there are, what is refused, and the corners of the semantics."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from lictor.actors.ingress.api.paging import filters_of
from lictor.schema.errors import Invalid
from lictor.schema.filters import clauses, joins, sorts
from lictor.schema.filters.clauses import FALSE, TRUE, Clause, all_of, any_of
from lictor.schema.filters.deployments import DeploymentFilter
from lictor.schema.filters.engine import condition, of_filter
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.filters.flows import FlowFilter
from lictor.schema.filters.task_runs import TaskRunFilter
from lictor.schema.filters.work_pools import WorkPoolFilter, WorkQueueFilter
from lictor.schema.wire.filters import FlowRunFilters

ID = "00000000-0000-4000-8000-000000000001"

KEYS: dict[Any, dict[str, set[str]]] = {
    FlowFilter: {
        "id": {"any_", "not_any_"}, "name": {"any_", "like_"},
        "tags": {"operator", "all_", "is_null_"}, "deployment": {"operator", "is_null_"},
    },
    FlowRunFilter: {
        "id": {"any_", "not_any_"}, "name": {"any_", "like_"},
        "tags": {"operator", "all_", "any_", "is_null_"},
        "deployment_id": {"operator", "any_", "is_null_"},
        "work_queue_name": {"operator", "any_", "is_null_"},
        "state": {"operator", "type", "name"}, "flow_version": {"any_"},
        "start_time": {"before_", "after_", "is_null_"},
        "end_time": {"before_", "after_", "is_null_"},
        "expected_start_time": {"before_", "after_"},
        "next_scheduled_start_time": {"before_", "after_"},
        "parent_flow_run_id": {"operator", "any_"},
        "parent_task_run_id": {"operator", "any_", "is_null_"},
        "idempotency_key": {"any_", "not_any_"},
        "created_by": {"operator", "id_", "type_", "is_null_"},
    },
    TaskRunFilter: {
        "id": {"any_"}, "name": {"any_", "like_"}, "tags": {"operator", "all_", "is_null_"},
        "state": {"operator", "type", "name"}, "start_time": {"before_", "after_", "is_null_"},
        "end_time": {"before_", "after_", "is_null_"},
        "expected_start_time": {"before_", "after_"}, "subflow_runs": {"exists_"},
        "flow_run_id": {"operator", "any_", "is_null_"},
    },
    DeploymentFilter: {
        "id": {"any_", "not_any_"}, "name": {"any_", "like_"},
        "flow_or_deployment_name": {"like_"}, "paused": {"eq_"},
        "tags": {"operator", "all_", "any_", "is_null_"}, "work_queue_name": {"any_"},
        "concurrency_limit": {"ge_", "le_", "is_null_"},
    },
    WorkPoolFilter: {"id": {"any_"}, "name": {"any_"}, "type": {"any_"}},
    WorkQueueFilter: {"id": {"any_"}, "name": {"any_", "startswith_"}},
}  # fmt: skip


@pytest.mark.parametrize("declaration", KEYS, ids=lambda cls: cls.__name__)
def test_a_filter_takes_exactly_the_keys_and_operators_of_prefect(declaration: Any) -> None:
    found = {}
    for field in msgspec.inspect.type_info(declaration).fields:  # type: ignore[union-attr]
        if field.name != "operator":
            structs = [part for part in field.type.types if hasattr(part, "cls")]
            found[field.name] = {inner.name for inner in structs[0].fields}
    assert found == KEYS[declaration]
    assert "operator" in declaration.__struct_fields__


@pytest.mark.parametrize(
    "body",
    [
        {"flow_runs": {"unheard_of": {}}},
        {"flow_runs": {"flow_id": {"any_": [ID]}}},
        {"flow_runs": {"id": {"any_": ["not-a-uuid"]}}},
        {"flow_runs": {"id": {"like_": "x"}}},
        {"flow_runs": {"operator": "nand_"}},
        {"flow_runs": {"id": {"operator": "or_"}}},
        {"flow_runs": {"state": {"type": {"any_": ["completed"]}}}},
        {"deployments": {"paused": {"any_": [True]}}},
    ],
)
def test_what_the_grammar_does_not_know_is_refused(body: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, FlowRunFilters, strict=True)


def flow_run(body: Any) -> Clause:
    return of_filter(msgspec.convert(body, FlowRunFilter))


def test_a_criterion_that_asks_nothing_makes_or_true_but_a_state_part_is_dropped() -> None:
    assert flow_run({"operator": "or_", "tags": {}, "id": {"any_": []}}) == TRUE
    only = {"operator": "or_", "type": {}, "name": {"any_": ["Late"]}}
    assert flow_run({"state": only}) == Clause("fr.state_name = ?", ("Late",))


def test_the_operator_is_not_handed_on_to_what_is_nested() -> None:
    found = flow_run({"operator": "or_", "id": {"any_": [ID], "not_any_": [ID]}})
    assert found.sql == "(fr.id = ? AND fr.id NOT IN (?))"


def test_empty_lists_match_nothing_or_ask_nothing_by_operator() -> None:
    assert flow_run({"tags": {"any_": []}}) == FALSE
    assert flow_run({"tags": {"all_": []}}) == TRUE
    assert flow_run({"id": {"any_": []}}) == FALSE
    assert flow_run({"id": {"not_any_": []}}) == TRUE
    assert flow_run({"name": {"like_": ""}}) == TRUE


def test_an_empty_filter_on_pools_or_queues_wants_runs_of_a_queue() -> None:
    for kind in ("work_pools", "work_pool_queues"):
        filters = filters_of(msgspec.convert({kind: {}}, FlowRunFilters))
        of_run = condition("flow_runs", joins.OF_FLOW_RUNS, filters)
        assert of_run.sql.startswith("fr.work_queue_id IN (SELECT wq.id FROM work_queue wq")


def test_an_empty_filter_on_flows_asks_nothing_of_a_run_but_a_run_of_a_task_run() -> None:
    filters = filters_of(msgspec.convert({"flows": {}}, FlowRunFilters))
    assert condition("flow_runs", joins.OF_FLOW_RUNS, filters) == TRUE
    of_task = condition("task_runs", joins.OF_TASK_RUNS, filters)
    assert of_task == Clause("tr.flow_run_id IS NOT NULL")


def test_a_moment_beyond_the_calendar_in_utc_is_its_end() -> None:
    first = flow_run({"end_time": {"after_": "0001-01-01T00:00:00+05:00"}})
    assert first.args == ("0001-01-01T00:00:00.000000Z",)
    last = flow_run({"end_time": {"before_": "9999-12-31T23:59:59-05:00"}})
    assert last.args == ("9999-12-31T23:59:59.999999Z",)


def test_more_values_than_a_statement_can_hold_are_refused() -> None:
    with pytest.raises(Invalid, match="10000 values"):
        flow_run({"name": {"any_": [str(n) for n in range(clauses.ARGUMENTS_MAX + 1)]}})
    with pytest.raises(Invalid, match="pattern"):
        flow_run({"name": {"like_": "x" * (clauses.PATTERN_BYTES_MAX + 1)}})


def test_clauses_fold_true_and_false() -> None:
    some = Clause("a = ?", (1,))
    assert all_of([TRUE, some]) == some
    assert all_of([some, FALSE]) == FALSE
    assert all_of([]) == TRUE
    assert any_of([FALSE, some]) == some
    assert any_of([some, TRUE]) == TRUE
    assert any_of([FALSE]) == FALSE
    assert any_of([]) == TRUE
    assert all_of([some, some]) == Clause("(a = ? AND a = ?)", (1, 1))


def test_every_sort_has_an_order() -> None:
    assert set(sorts.FLOW_ORDER) == set(get_args(sorts.FlowSort))
    assert set(sorts.FLOW_RUN_ORDER) == set(get_args(sorts.FlowRunSort))
    assert set(sorts.TASK_RUN_ORDER) == set(get_args(sorts.TaskRunSort))


def test_no_prefixes_restrict_nothing_but_no_values_match_nothing() -> None:
    assert clauses.starts_with("name", []) == clauses.TRUE
    assert clauses.is_in("name", []) == clauses.FALSE
