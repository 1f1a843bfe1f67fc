"""Inputs of flow runs, key and value, as the API sends and takes them.

Source: `prefect.server.schemas.core.FlowRunInput`, `prefect.server.api.flow_runs`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

InputKey = Annotated[str, Meta(pattern="^[a-z0-9-]*$", max_length=1024)]


class FlowRunInput(msgspec.Struct):
    """An input as answers carry it."""

    id: str
    created: str
    updated: str
    flow_run_id: str
    key: str
    value: str
    sender: str | None


class InputCreate(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/{id}/input`."""

    key: InputKey
    value: str
    sender: str | None = None


class InputSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/{id}/input/filter`."""

    prefix: str
    limit: int | None = None
    exclude_keys: list[str] | None = None
