"""What deploying asks of automations: those of a resource, and an end to them.

This server has none, so none is found and none is left. Clients deploy only where these answer.

Source: `prefect.server.api.automations`.
"""

from __future__ import annotations

from typing import Any

from lictor.actors.ingress.operations import Call, Operation


async def read_related(_call: Call[None]) -> list[Any]:
    """The automations that are about a resource, or owned by it."""
    return []


async def delete_owned(_call: Call[None]) -> None:
    """Delete the automations that a resource owns."""


OPERATIONS = (
    Operation("GET", "/automations/related-to/{resource:str}", read_related, result=list[Any]),
    Operation("DELETE", "/automations/owned-by/{resource:str}", delete_owned, status=202),
)
