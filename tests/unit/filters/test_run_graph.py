"""Graphs of flow runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import insert

from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.errors import BadRequest, Missing
from lictor.schema.tables import graph
from lictor.schema.times import EARLIEST

RUN = "00000002-0000-7000-8000-000000000001"
SUB = "00000002-0000-7000-8000-000000000002"
FLOW = "00000001-0000-7000-8000-000000000001"
NOW = datetime(2030, 1, 2, tzinfo=UTC)


def second(n: int) -> str:
    return f"2030-01-01T00:00:{n:02d}.000000Z"


def task_id(name: str) -> str:
    return f"00000003-0000-7000-8000-00000000000{ord(name) - ord('a')}"


@pytest.fixture
def world(tx: SqliteTx) -> SqliteTx:
    insert(tx, "flow", {"id": FLOW, "name": "flow"})
    insert(tx, "flow_run", {
        "id": RUN, "name": "run", "flow_id": FLOW, "expected_start_time": second(0)
    })  # fmt: skip
    return tx


def task(tx: SqliteTx, name: str, start: int | None, end: int | None = None, **more: Any) -> None:
    inputs = {
        key: [{"input_type": "task_run", "id": task_id(source)} for source in sources]
        for key, sources in more.pop("inputs", {}).items()
    }
    insert(tx, "task_run", {
        "id": task_id(name), "name": name, "flow_run_id": RUN, "state_type": "COMPLETED",
        "start_time": None if start is None else second(start),
        "end_time": None if end is None else second(end), "task_inputs": inputs, **more,
    })  # fmt: skip


def read(tx: SqliteTx, since: str = EARLIEST, nodes_max: int = 100) -> Any:
    return graph.read(tx, RUN, since, nodes_max, 100)


def labels(found: Any) -> dict[str, tuple[list[str], list[str], list[str]]]:
    names = {id_: node.label for id_, node in found.nodes}
    return {
        node.label: tuple(  # type: ignore[misc]
            [names.get(edge.id, "?") for edge in edges]
            for edges in (node.parents, node.children, node.encapsulating)
        )
        for _, node in found.nodes
    }


def test_edges_are_named_once_in_the_order_of_first_mention(world: SqliteTx) -> None:
    task(world, "a", 1, 2)
    task(world, "b", 2, 3)
    task(world, "c", 3, 4, inputs={"x": ["b", "a", "b"], "y": ["a"], "__parents__": ["a", "a"]})
    found = read(world)
    assert labels(found) == {
        "a": ([], ["c"], []),
        "b": ([], ["c"], []),
        "c": (["b", "a"], [], ["a"]),
    }
    assert found.root_node_ids == [task_id("a"), task_id("b")]


def test_a_task_without_any_time_is_left_out_and_so_are_edges_to_it(world: SqliteTx) -> None:
    task(world, "a", None)
    task(world, "b", 2, 3, inputs={"x": ["a"]})
    assert labels(read(world)) == {"b": ([], [], [])}


def test_since_leaves_out_what_was_over_and_keeps_the_edges_to_it(world: SqliteTx) -> None:
    task(world, "a", 1, 2)
    task(world, "b", 2, None, inputs={"x": ["a"]}, state_type="RUNNING")
    found = read(world, since=second(3))
    assert labels(found) == {"b": (["?"], [], [])}
    assert found.root_node_ids == []
    assert len(read(world, since=second(2)).nodes) == 2


def test_a_task_that_stands_for_a_sub_flow_is_shown_as_that_run(world: SqliteTx) -> None:
    task(world, "a", 1, 2)
    insert(world, "flow_run", {
        "id": SUB, "name": "kid", "flow_id": FLOW, "parent_task_run_id": task_id("a"),
        "expected_start_time": second(5), "state_type": "RUNNING",
    })  # fmt: skip
    task(world, "b", 6, 7, inputs={"x": ["a"]})
    (id_, node), (_, after) = read(world).nodes
    assert (id_, node.kind, node.label, node.state_type) == (
        SUB, "flow-run", "flow / kid", "RUNNING"
    )  # fmt: skip
    assert (node.start_time, node.end_time) == (second(5), second(2))
    assert after.parents == []


def test_a_completed_task_without_end_ends_when_it_was_expected(world: SqliteTx) -> None:
    task(world, "a", None, None, expected_start_time=second(4))
    task(world, "b", None, None, expected_start_time=second(4), state_type="RUNNING")
    by_label = {node.label: node for _, node in read(world).nodes}
    assert by_label["a"].end_time == second(4)
    assert by_label["b"].end_time is None
    assert list(by_label) == ["b", "a"]


def test_artifacts_hang_on_their_task_or_on_the_run(world: SqliteTx) -> None:
    task(world, "a", 1, 2)
    rows: list[tuple[str, str | None, str | None, str]] = [
        ("progress", "key", task_id("a"), "1.5"), ("table", None, None, '"x"'),
        ("result", None, task_id("a"), '"z"'), ("progress", "key", task_id("a"), "2.5"),
    ]  # fmt: skip
    for n, (type_, key, task_run_id, data) in enumerate(rows):
        world.run(
            "INSERT INTO artifact (id, created, updated, key, type, data, flow_run_id, task_run_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (f"artifact-{n}", second(n), second(n), key, type_, data, RUN, task_run_id),
        )
    found = read(world)
    ((_, node),) = found.nodes
    assert [(one.id, one.is_latest, bytes(one.data)) for one in node.artifacts] == [
        ("artifact-0", False, b"1.5"),
        ("artifact-3", True, b"2.5"),
    ]
    assert [(one.id, one.is_latest, one.data) for one in found.artifacts] == [
        ("artifact-1", True, None)
    ]


def test_an_unknown_run_and_a_graph_that_is_too_large_are_refused(world: SqliteTx) -> None:
    with pytest.raises(Missing, match="not found"):
        graph.read(world, SUB, EARLIEST, 10, 10)
    with pytest.raises(Missing, match="not found"):
        graph.dependencies(world, SUB, 10, NOW)
    task(world, "a", 1)
    task(world, "b", 2)
    assert len(read(world, nodes_max=2).nodes) == 2
    with pytest.raises(BadRequest, match="more than 1 nodes"):
        read(world, nodes_max=1)
    with pytest.raises(BadRequest, match="more than 1 nodes"):
        graph.dependencies(world, RUN, 1, NOW)


def test_dependencies_name_each_input_once(world: SqliteTx) -> None:
    task(world, "a", 1, 2)
    task(world, "b", 2, 3, inputs={"x": ["a"], "y": ["a"]})
    found = graph.dependencies(world, RUN, 10, NOW)
    assert [one.name for one in found] == ["a", "b"]
    assert found[1].upstream_dependencies == [{"input_type": "task_run", "id": task_id("a")}]
