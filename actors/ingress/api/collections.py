"""What there is to choose from when a work pool is made. Nothing is fetched from anywhere.

Source: `prefect.server.api.collections`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import trio

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound, Unavailable
from lictor.schema.wire.worker_types import WORKER_TYPES

Packages = dict[str, dict[str, Any]]

WORKERS = "aggregate-worker-metadata"
EMPTY = frozenset({"aggregate-block-metadata", "aggregate-flow-metadata", "demo-flows"})
"""Views that clients know and lictor has nothing for."""

_decode = msgspec.json.Decoder(Packages).decode


async def read_view(call: Call[None]) -> Packages:
    """One view of the collections, by package."""
    view = call.params[0]
    if view in EMPTY:
        return {}
    if view != WORKERS:
        raise NotFound(f"View {view} not found in registry")
    path = call.services.settings.worker_metadata
    return WORKER_TYPES if path is None else await _from_file(path)


async def _from_file(path: Path) -> Packages:
    """The operator's own description; it is read for each request, which are few.

    Raises:
        Unavailable: it cannot be read.
    """
    try:
        packages = _decode(await trio.Path(path).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"worker_metadata {path} cannot be read: {error}", 60) from error
    # The agents of old are not for new pools.
    packages.get("prefect", {}).pop("prefect-agent", None)
    return packages


OPERATIONS = (
    Operation("GET", "/collections/views/{view:str}", read_view, result=dict[str, dict[str, Any]]),
)
