"""The graph of a flow run as the API sends it.

Source: `prefect.server.schemas.graph`, `prefect.server.models.flow_runs.DependencyResult`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from lictor.schema.wire.states import State


class GraphState(msgspec.Struct):
    """A state the run has had."""

    id: str
    timestamp: str
    type: str
    name: str


class GraphArtifact(msgspec.Struct):
    """An artifact; `data` only of progress artifacts."""

    id: str
    created: str
    key: str | None
    type: str | None
    is_latest: bool
    data: Raw | None


class Edge(msgspec.Struct):
    """The other end of an edge."""

    id: str


class GraphNode(msgspec.Struct):
    """A task run, or the sub-flow run that a task run stands for."""

    kind: Literal["flow-run", "task-run"]
    id: str
    label: str
    state_type: str | None
    start_time: str
    end_time: str | None
    parents: list[Edge]
    children: list[Edge]
    encapsulating: list[Edge]
    artifacts: list[GraphArtifact]


class Graph(msgspec.Struct):
    """Answer of `GET /flow_runs/{id}/graph-v2`."""

    start_time: str | None
    end_time: str | None
    root_node_ids: list[str]
    nodes: list[tuple[str, GraphNode]]
    artifacts: list[GraphArtifact]
    states: list[GraphState]


class Dependency(msgspec.Struct):
    """A task run in the answer of `GET /flow_runs/{id}/graph`."""

    id: str
    name: str
    upstream_dependencies: list[dict[str, Any]]
    state: State | None
    expected_start_time: str | None
    start_time: str | None
    end_time: str | None
    total_run_time: float
    estimated_run_time: float
    untrackable_result: bool
