"""Parameters of deployments and of their runs: hydrated, and held to the deployment's schema.

Source: `prefect.server.api.deployments`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.schema.errors import BadRequest, Conflict, Invalid
from lictor.schema.rules import json_schema
from lictor.schema.rules.hydration import HydrationFailed, Variables, hydrate

Parameters = dict[str, Any]

_NO_SCHEMA = frozenset({"{}", '{"type":"object","properties":{}}'})
"""Schemas as they are stored that every object fits."""


def hydrated(given: Parameters, variables: Variables, doing: str) -> Any:
    """Parameters with their placeholders resolved; anything, where they are a placeholder as a
    whole.

    Raises:
        BadRequest: one cannot be; `doing` begins the sentence.
    """
    try:
        return hydrate(given, variables)
    except HydrationFailed as error:
        raise BadRequest(f"Error hydrating {doing} parameters: {error}") from error


def require_object(found: Any, doing: str) -> Parameters:
    """What `hydrated` has found, once it fits its schema. Raises `BadRequest`: it is no object."""
    if not isinstance(found, dict):
        raise BadRequest(f"Error hydrating {doing} parameters: they are not an object.")
    return found


def require_fit(given: Any, schema: str, doing: str, *, may_be_partial: bool) -> None:
    """Return if parameters fit a schema, given as it is stored.

    Raises:
        Conflict: they do not, or there is no schema; `doing` begins the sentence.
        Invalid: the schema is circular.
    """
    if schema in _NO_SCHEMA and isinstance(given, dict):
        return
    decoded = msgspec.json.decode(schema)
    if not isinstance(decoded, dict):
        raise Conflict(
            f"Error {doing}: parameter schema enforcement is enabled and the deployment does not"
            " have a valid parameter schema."
        )
    try:
        json_schema.check(given, decoded, may_be_partial=may_be_partial)
    except json_schema.CircularSchema as error:
        raise Invalid(str(error)) from error
    except (json_schema.InvalidValue, json_schema.UnusableSchema) as error:
        raise Conflict(f"Error {doing}: {error}") from error
