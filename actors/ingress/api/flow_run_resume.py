"""Resuming paused flow runs. Source: `prefect.server.api.flow_runs.resume_flow_run`."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import trio

from lictor.actors.ingress.api.flow_runs import client_version
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import resume as command
from lictor.schema.rules import json_schema
from lictor.schema.rules.hydration import no_variables
from lictor.schema.wire.flow_runs import OrchestrationResult


class Resume(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/{id}/resume`."""

    run_input: dict[str, Any] | None = None


async def resume(call: Call[Resume]) -> Response:
    """Let a paused run go on: 201 with a new state, 200 when it stays as it is."""
    services, id_ = call.services, call.params[0]
    if services.readers.inline(partial(command.awaits_input, id_=id_)):
        # Not in the transaction: every other write would wait for the library to load.
        await trio.to_thread.run_sync(json_schema.load)
    job = partial(
        command.resume,
        id_=id_,
        run_input=call.body.run_input,
        variables=no_variables,
        mint=services.mint,
        settings=services.settings,
        client_version=client_version(call.request),
    )
    result, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(result))


OPERATIONS = (
    Operation(
        "POST",
        "/flow_runs/{id}/resume",
        resume,
        body=Resume,
        result=OrchestrationResult,
        optional_body=True,
    ),
)
