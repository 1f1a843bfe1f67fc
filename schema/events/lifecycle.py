"""Events that tell of objects being made, changed and deleted: `prefect.<kind>.<action>`.

Source: `prefect.server.events.schemas.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lictor.schema.events.event import RESOURCE_ID, RESOURCE_NAME, Event, Resource
from lictor.schema.mint import Mint

Action = Literal["created", "updated", "deleted"]


def lifecycle_event(
    mint: Mint,
    kind: str,
    action: Action,
    id_: str,
    name: str,
    payload: dict[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    related: list[Resource] | None = None,
) -> Event:
    """The event of one object of `kind` (such as `flow`), happening now.

    `labels` are those of the object beside its id and name.
    """
    now = mint.now()
    return Event(
        occurred=now,
        event=f"prefect.{kind}.{action}",
        resource={RESOURCE_ID: f"prefect.{kind}.{id_}", RESOURCE_NAME: name, **(labels or {})},
        related=related or [],
        payload=payload,
        id=mint.id(),
        follows=None,
        received=now,
    )
