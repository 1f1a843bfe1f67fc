"""Health, versions, settings, the default result storage.

Source: `prefect.server.api.root`, `.admin`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import apsw
import msgspec

from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound
from lictor.schema.wire import server_settings
from lictor.schema.wire.versions import API_VERSION, PREFECT_VERSION

_READY = {"message": "OK"}
_NOT_READY = Response(503, b'{"message":"Database is not available"}')


class ResultStorage(msgspec.Struct):
    """The block that keeps results when a client names none."""

    default_result_storage_block_id: str | None = None


class ResultStorageBody(msgspec.Struct):
    """Body of `PUT /admin/storage`."""

    default_result_storage_block_id: UUID


async def read_health(call: Call[None]) -> bool:
    """Whether the process answers."""
    return True


async def read_readiness(call: Call[None]) -> dict[str, str] | Response:
    """Whether the database answers too; 503 when it does not."""
    try:
        call.services.readers.inline(lambda tx: tx.one("SELECT 1"))
    except apsw.Error:
        return _NOT_READY
    return _READY


async def hello(call: Call[None]) -> str:
    """A sign of life."""
    return "👋"


async def read_api_version(call: Call[None]) -> str:
    """Version of the protocol."""
    return API_VERSION


async def read_version(call: Call[None]) -> str:
    """Version of the Prefect server that lictor stands for."""
    return PREFECT_VERSION


async def read_settings(call: Call[None]) -> dict[str, Any]:
    """The settings tree, secrets masked."""
    return server_settings.tree(call.services.settings)


async def read_result_storage(call: Call[None]) -> ResultStorage:
    """The default result storage; there is none without blocks."""
    return ResultStorage()


async def update_result_storage(call: Call[ResultStorageBody]) -> ResultStorage:
    """Choose the block that keeps results.

    Raises:
        NotFound: there is no such block.
    """
    chosen = call.body.default_result_storage_block_id
    raise NotFound(f"Block document {chosen} not found.")


async def clear_result_storage(call: Call[None]) -> None:
    """Choose none."""


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/health", read_health, result=bool, summary="Health check"),
    Operation("GET", "/ready", read_readiness, result=dict[str, str], summary="Readiness check"),
    Operation("GET", "/hello", hello, result=str, summary="Say hello"),
    Operation("GET", "/version", read_api_version, result=str, summary="Server version"),
    Operation("GET", "/admin/version", read_version, result=str, summary="Read version"),
    Operation(
        "GET", "/admin/settings", read_settings, result=dict[str, Any], summary="Read settings"
    ),
    Operation(
        "GET",
        "/admin/storage",
        read_result_storage,
        result=ResultStorage,
        summary="Read server default result storage",
    ),
    Operation(
        "PUT",
        "/admin/storage",
        update_result_storage,
        body=ResultStorageBody,
        result=ResultStorage,
        summary="Update server default result storage",
    ),
    Operation(
        "DELETE",
        "/admin/storage",
        clear_result_storage,
        status=204,
        summary="Clear server default result storage",
    ),
)
