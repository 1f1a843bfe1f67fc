"""The graph of a flow run: its task runs and sub-flow runs, and what each took from which.

Source: `flow_run_graph_v2` in `prefect.server.database.query_components`,
`read_task_run_dependencies` in `prefect.server.models.flow_runs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import BadRequest, Missing
from lictor.schema.tables import task_runs as task_run_table
from lictor.schema.times import Timestamp
from lictor.schema.wire.graph import (
    Dependency,
    Edge,
    Graph,
    GraphArtifact,
    GraphNode,
    GraphState,
)

PARENTS_KEY = "__parents__"
"""The key of `task_inputs` whose ids enclose a task rather than feed it."""

_decode_inputs = msgspec.json.Decoder(dict[str, list[dict[str, Any]]]).decode

_NODES = """
SELECT * FROM (
    SELECT tr.id, sub.id, f.name, sub.name, tr.name,
        coalesce(sub.state_type, tr.state_type),
        coalesce(sub.start_time, sub.expected_start_time, tr.start_time, tr.expected_start_time)
            AS started,
        coalesce(sub.end_time, tr.end_time,
            CASE tr.state_type WHEN 'COMPLETED' THEN tr.expected_start_time END) AS ended,
        tr.task_inputs, tr.seq AS seq
    FROM task_run tr
    LEFT JOIN flow_run sub ON sub.parent_task_run_id = tr.id
    LEFT JOIN flow f ON f.id = sub.flow_id
    WHERE tr.flow_run_id = ?
) node WHERE started IS NOT NULL ORDER BY started, ended, seq LIMIT ?
"""

_ARTIFACTS = """
SELECT a.task_run_id, a.id, a.created, a.key, a.type,
    CASE a.type WHEN 'progress' THEN a.data END,
    a.key IS NULL OR NOT EXISTS (
        SELECT 1 FROM artifact newer WHERE newer.key = a.key AND newer.seq > a.seq)
FROM artifact a
WHERE a.flow_run_id = ? AND a.type <> 'result'
ORDER BY a.created, a.seq LIMIT ?
"""


class _Inputs:
    """The edges of a graph, by node id, in order of first mention."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        """`inputs`: the stored `task_inputs` of each node."""
        self.parents: dict[str, dict[str, None]] = {}
        self.children: dict[str, dict[str, None]] = {id_: {} for id_ in inputs}
        self.encapsulating: dict[str, dict[str, None]] = {}
        for id_, stored in inputs.items():
            if stored != "{}":
                self._add(id_, _decode_inputs(stored))

    def _add(self, id_: str, inputs: dict[str, list[dict[str, Any]]]) -> None:
        for key, sources in inputs.items():
            into = self.encapsulating if key == PARENTS_KEY else self.parents
            for source in sources:
                parent = source.get("id")
                if parent in self.children:
                    into.setdefault(id_, {})[parent] = None
                    if key != PARENTS_KEY:
                        self.children[parent][id_] = None


def read(
    tx: ReadTx, flow_run_id: str, since: Timestamp, nodes_max: int, artifacts_max: int
) -> Graph:
    """The graph of a flow run; of its nodes those that were not over at `since`.

    Raises:
        Missing: there is no such flow run.
        BadRequest: it has more than `nodes_max` nodes.
    """
    run = tx.one(
        "SELECT coalesce(start_time, expected_start_time), end_time FROM flow_run WHERE id = ?",
        (flow_run_id,),
    )
    if run is None:
        raise Missing(f"Flow run {flow_run_id} not found")
    rows = tx.all(_NODES, (flow_run_id, nodes_max + 1))
    shown = [row for row in rows if row[7] is None or row[7] >= since]
    if len(rows) > nodes_max:
        raise BadRequest(
            f"The graph of flow run {flow_run_id} has more than {nodes_max} nodes."
        )
    on_nodes, on_run = _artifacts(tx, flow_run_id, artifacts_max)
    edges = _Inputs({row[1] or row[0]: row[8] for row in rows})
    nodes = [_node(row, edges, on_nodes) for row in shown]
    return Graph(
        start_time=run[0],
        end_time=run[1],
        root_node_ids=[id_ for id_, node in nodes if not node.parents],
        nodes=nodes,
        artifacts=on_run,
        states=_states(tx, flow_run_id),
    )


def _node(
    row: tuple[Any, ...], edges: _Inputs, artifacts: Mapping[str, list[GraphArtifact]]
) -> tuple[str, GraphNode]:
    task_run_id, sub_id, flow_name, sub_name, task_name, state_type, started, ended, *_ = row
    id_ = sub_id or task_run_id
    return id_, GraphNode(
        kind="flow-run" if sub_id else "task-run",
        id=id_,
        label=f"{flow_name} / {sub_name}" if sub_id else task_name,
        state_type=state_type,
        start_time=started,
        end_time=ended,
        parents=_edges(edges.parents, id_),
        children=_edges(edges.children, id_),
        encapsulating=_edges(edges.encapsulating, id_),
        artifacts=artifacts.get(id_, []),
    )


def _edges(of: Mapping[str, dict[str, None]], id_: str) -> list[Edge]:
    return [Edge(other) for other in of.get(id_, ())]


def _artifacts(
    tx: ReadTx, flow_run_id: str, most: int
) -> tuple[dict[str, list[GraphArtifact]], list[GraphArtifact]]:
    """The artifacts of task runs, by task run, and those of the flow run alone."""
    on_nodes: dict[str, list[GraphArtifact]] = {}
    on_run: list[GraphArtifact] = []
    for task_run_id, id_, created, key, type_, data, latest in tx.all(
        _ARTIFACTS, (flow_run_id, most)
    ):
        shown = None if data is None else Raw(data)
        artifact = GraphArtifact(id_, created, key, type_, latest == 1, shown)
        (on_run if task_run_id is None else on_nodes.setdefault(task_run_id, [])).append(artifact)
    return on_nodes, on_run


def _states(tx: ReadTx, flow_run_id: str) -> list[GraphState]:
    rows = tx.all(
        "SELECT id, timestamp, type, name FROM flow_run_state WHERE flow_run_id = ?"
        " ORDER BY timestamp, seq",
        (flow_run_id,),
    )
    return [GraphState(*row) for row in rows]


def dependencies(
    tx: ReadTx, flow_run_id: str, nodes_max: int, now: datetime
) -> list[Dependency]:
    """The older form: every task run of the flow run with the inputs it had.

    Raises:
        Missing: there is no such flow run.
        BadRequest: it has more than `nodes_max` task runs.
    """
    if tx.one("SELECT 1 FROM flow_run WHERE id = ?", (flow_run_id,)) is None:
        raise Missing(f"Flow run with id {flow_run_id} not found")
    rows = tx.all(
        f"SELECT {task_run_table.COLUMNS} FROM {task_run_table.FROM} WHERE tr.flow_run_id = ?"
        " ORDER BY tr.expected_start_time, tr.seq LIMIT ?",
        (flow_run_id, nodes_max + 1),
    )
    if len(rows) > nodes_max:
        raise BadRequest(
            f"The graph of flow run {flow_run_id} has more than {nodes_max} nodes."
        )
    return [_dependency(row, now) for row in rows]


def _dependency(row: tuple[Any, ...], now: datetime) -> Dependency:
    run = task_run_table.to_wire(row, now)
    inputs = {
        msgspec.json.encode(source): source
        for sources in _decode_inputs(bytes(run.task_inputs)).values()
        for source in sources
    }
    return Dependency(
        id=run.id,
        name=run.name,
        upstream_dependencies=list(inputs.values()),
        state=run.state,
        expected_start_time=run.expected_start_time,
        start_time=run.start_time,
        end_time=run.end_time,
        total_run_time=run.total_run_time,
        estimated_run_time=run.estimated_run_time,
        untrackable_result=run.state is not None and run.state.state_details.untrackable_result,
    )
