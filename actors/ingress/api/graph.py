"""Graphs of flow runs. Source: `prefect.server.api.flow_runs`."""

from __future__ import annotations

from datetime import datetime

from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.filters.targets import EARLIEST, moment
from lictor.schema.tables import graph
from lictor.schema.times import parse
from lictor.schema.wire.decode import query as query_parameter
from lictor.schema.wire.graph import Dependency, Graph


async def read_graph(call: Call[None]) -> Response:
    """The nodes that were not over at `since`, with their edges. The UI polls this."""
    services = call.services
    settings = services.settings
    id_ = call.params[0]
    since = moment(query_parameter(call, "since", datetime, EARLIEST))
    return Response(
        200,
        await services.readers.read(
            lambda tx: encode(
                graph.read(
                    tx, id_, since, settings.graph_nodes_max, settings.graph_artifacts_max
                )
            )
        ),
    )


async def read_dependencies(call: Call[None]) -> Response:
    """The older form: task runs with their inputs."""
    services = call.services
    id_, most = call.params[0], services.settings.graph_nodes_max
    now = parse(services.mint.now())
    return Response(
        200,
        await services.readers.read(lambda tx: encode(graph.dependencies(tx, id_, most, now))),
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET", "/flow_runs/{id}/graph-v2", read_graph, None, Graph,
        query=("since",), summary="Graph of a flow run",
    ),
    Operation(
        "GET", "/flow_runs/{id}/graph", read_dependencies, None, list[Dependency],
        summary="Task runs of a flow run with their inputs",
    ),
)  # fmt: skip
