"""Routes of lictor's own, below `/lictor`: why a flow run is not running."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound
from lictor.schema.rules.explanations import explain
from lictor.schema.tables import situations
from lictor.schema.wire.explanations import Explanation


async def why(call: Call[None]) -> Explanation:
    """Why this run is not running, in a sentence and as data."""
    services = call.services
    query = partial(
        situations.read, id_=call.params[0], now=services.mint.now(), settings=services.settings
    )
    situation = await services.readers.read(query)
    if situation is None:
        raise NotFound("Flow run not found")
    return explain(situation)


OPERATIONS = (Operation("GET", "/lictor/flow_runs/{id}/why", why, result=Explanation),)
