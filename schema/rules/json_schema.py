"""Checking a JSON value against a JSON Schema that a client has stored (draft 2020-12).

Nothing is ever fetched: a reference out of the document is an error. Formats are not checked.
Schemas of older pydantic versions are read as their authors meant them: an optional property takes
null as well, and a list of `items` is a tuple.

Source: `prefect.utilities.schema_tools.validation`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import msgspec


class InvalidValue(Exception):
    """The value does not fit its schema; the text says where and why."""


class UnusableSchema(Exception):
    """The schema is not a JSON Schema, refers out of itself, or is circular."""


class CircularSchema(UnusableSchema):
    """The schema refers to itself without end."""


def check(
    value: Any, schema: Any, *, may_be_partial: bool = False, null_for_default: bool = False
) -> None:
    """Return if `value` fits `schema`.

    `may_be_partial`: nothing is required. `null_for_default`: an optional property takes null even
    if it has a default.

    Raises:
        InvalidValue: it does not.
        UnusableSchema: nothing can be checked against this schema.
    """
    if not isinstance(schema, dict):
        raise UnusableSchema("The schema is not an object.")
    _checker()(value, schema, may_be_partial, null_for_default)


SCHEMAS_KEPT = 256
SCHEMA_BYTES_KEPT = 64 * 1024
"""Schemas that are ready for the next value, and how long one may be: reading one takes a hundred
times longer than checking a value against it.
"""


@cache
def _checker() -> Callable[[Any, dict[str, Any], bool, bool], None]:
    """Made at the first check: the library takes longer to load than all of lictor."""
    from jsonschema import (  # type: ignore[import-untyped]
        Draft202012Validator,
        SchemaError,
    )
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    registry: Registry[Any] = Registry()

    def read(text: bytes, may_be_partial: bool, null_for_default: bool) -> Any:
        schema = _as_meant(msgspec.json.decode(text), null_for_default)
        if may_be_partial:
            schema = _without_required(schema)
        Draft202012Validator.check_schema(schema)
        return Draft202012Validator(schema, registry=registry)

    kept = lru_cache(SCHEMAS_KEPT)(read)

    def checked(
        value: Any, schema: dict[str, Any], may_be_partial: bool, null_for_default: bool
    ) -> None:
        text = msgspec.json.encode(schema)
        validator_of = kept if len(text) <= SCHEMA_BYTES_KEPT else read
        try:
            validator = validator_of(text, may_be_partial, null_for_default)
            fault = best_match(validator.iter_errors(value))
        except SchemaError as error:
            raise UnusableSchema(f"Invalid schema: {error.message}") from error
        except RecursionError:
            raise CircularSchema(
                "Invalid schema: Unable to validate schema with circular references."
            ) from None
        except Unresolvable as error:
            raise UnusableSchema(f"Validation failed. Failure reason: {error}") from error
        if fault is not None:
            place = "" if fault.json_path == "$" else f" for field {fault.json_path[2:]!r}"
            raise InvalidValue(f"Validation failed{place}. Failure reason: {fault.message}")

    return checked


def load() -> None:
    """Load the library, which takes a tenth of a second, where that holds nobody up."""
    _checker()


def is_loaded() -> bool:
    """Whether a check will not have to wait for the library."""
    return _checker.cache_info().currsize > 0


def _as_meant(schema: dict[str, Any], null_for_default: bool) -> dict[str, Any]:
    """A copy of `schema` in the words of draft 2020-12."""
    meant = _with_meant_properties(schema, null_for_default)
    definitions = meant.get("definitions")
    if isinstance(definitions, dict):
        found: dict[str, Any] = {}
        for name, definition in definitions.items():
            if isinstance(definition, dict):
                definition = _with_meant_properties(definition, null_for_default)
                if "block_type_slug" in definition:
                    definition = {"oneOf": [definition, _BLOCK_REFERENCE]}
            found[name] = definition
        meant["definitions"] = found
    return meant


_BLOCK_REFERENCE = {
    "type": "object",
    "properties": {
        "$ref": {
            "oneOf": [
                {"type": "string", "format": "uuid"},
                {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "minProperties": 1,
                },
            ]
        }
    },
    "required": ["$ref"],
}
"""A block may stand in a value by its id instead of its fields."""


def _without_required(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _without_required(each)
            for key, each in schema.items()
            if key != "required" or isinstance(each, dict)
        }
    return [_without_required(each) for each in schema] if isinstance(schema, list) else schema


def _with_meant_properties(schema: dict[str, Any], null_for_default: bool) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return dict(schema)
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    meant = {
        name: _meant_property(each, name not in required, null_for_default)
        if isinstance(each, dict)
        else each
        for name, each in properties.items()
    }
    return {**schema, "properties": meant}


def _meant_property(
    schema: dict[str, Any], optional: bool, null_for_default: bool
) -> dict[str, Any]:
    meant = _with_meant_properties(schema, null_for_default)
    type_ = meant.get("type")
    takes_null = optional and (null_for_default or "default" not in meant)
    if takes_null and type_ is not None and type_ != "null":
        del meant["type"]
        meant["anyOf"] = [{"type": type_}, {"type": "null"}]
    items = meant.get("items")
    if items and isinstance(items, list) and not meant.get("prefixItems"):
        meant["prefixItems"] = items
        del meant["items"]
    return meant
