"""Checking a JSON value against a JSON Schema that a client has stored (draft 2020-12).

Nothing is ever fetched: a reference out of the document is an error, and so is what takes too long
(`bounded_keywords.py`). Formats are checked only where that is asked for.
Schemas of older pydantic versions are read as their authors meant them: an optional property takes
null as well, and a list of `items` is a tuple.

Source: `prefect.utilities.schema_tools.validation`.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec

from lictor.schema.rules.bounded_keywords import (
    TooCostly,
    allowance,
    bounded,
    require_bounded,
    schema_of_schemas,
    specifications,
    without_dialects,
)


class InvalidValue(Exception):
    """The value does not fit its schema; the text says where and why."""


class UnusableSchema(Exception):
    """The schema is not a JSON Schema, refers out of itself, or is circular."""


class CircularSchema(UnusableSchema):
    """The schema refers to itself without end."""


class _Reading(NamedTuple):
    """How a schema is read; see `check`."""

    may_be_partial: bool
    null_for_default: bool
    as_written: bool
    with_formats: bool


def check(
    value: Any,
    schema: Any,
    *,
    may_be_partial: bool = False,
    null_for_default: bool = False,
    as_written: bool = False,
    with_formats: bool = False,
) -> None:
    """Return if `value` fits `schema`.

    `may_be_partial`: nothing is required, but by one of several schemas of which some must hold.
    `null_for_default`: an optional property takes null even if it has a default. `as_written`: the
    schema is not read as that of an older pydantic, and by the draft that it names. `with_formats`:
    texts are held to the `format` that the schema names, if it is one of those checked.

    Raises:
        InvalidValue: it does not.
        UnusableSchema: nothing can be checked against this schema, or only at too high a cost.
    """
    if not isinstance(schema, dict):
        raise UnusableSchema("The schema is not an object.")
    reading = _Reading(may_be_partial, null_for_default, as_written, with_formats)
    _library().check(value, schema, reading)


def require_schema(schema: Any) -> None:
    """Return if `schema` is one as it was written, without reading it as older ones were meant.

    Raises:
        UnusableSchema: it is none.
    """
    if not isinstance(schema, dict):
        raise UnusableSchema("The schema is not an object.")
    _library().require(schema)


SCHEMAS_KEPT = 256
SCHEMA_BYTES_KEPT = 64 * 1024
"""Schemas that are ready for the next value, and how long one may be: reading one takes a hundred
times longer than checking a value against it.
"""


class _Library:
    """The library, and schemas ready for use: made at the first check, because it takes longer to
    load than all of lictor.
    """

    def __init__(self) -> None:
        from jsonschema import (  # type: ignore[import-untyped]
            Draft202012Validator,
            FormatChecker,
            SchemaError,
        )
        from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
        from jsonschema.validators import validator_for  # type: ignore[import-untyped]
        from referencing.exceptions import Unresolvable

        self._validator, self._best_match = Draft202012Validator, best_match
        self._validator_for = validator_for
        self._no_schema, self._unresolvable = SchemaError, Unresolvable
        self._formats = FormatChecker(())
        self._formats.checkers = {
            **Draft202012Validator.FORMAT_CHECKER.checkers,
            "date-time": (_is_moment, ()),
            "time": (_is_time, ()),
        }
        self._kept = lru_cache(SCHEMAS_KEPT)(self._read)
        self._kept_as_written = lru_cache(SCHEMAS_KEPT)(self._read_as_written)

    def _read(self, text: bytes, reading: _Reading) -> Any:
        schema, validator = msgspec.json.decode(text), self._validator
        if reading.as_written:
            self._require_one(validator, schema)
            validator = self._validator_for(schema, default=validator)
        else:
            schema = _as_meant(schema, reading.null_for_default)
        if reading.may_be_partial:
            schema = _without_required(schema)
        self._require_one(validator, schema)
        require_bounded(schema)
        schema, validator = without_dialects(schema), bounded(validator)
        formats = self._formats if reading.with_formats else None
        return validator(schema, registry=specifications(), format_checker=formats)

    def _read_as_written(self, text: bytes) -> None:
        self._require_one(self._validator, msgspec.json.decode(text))

    def _require_one(self, validator: Any, schema: Any) -> None:
        for fault in schema_of_schemas(validator).iter_errors(schema):
            raise self._no_schema.create_from(fault)

    def require(self, schema: dict[str, Any]) -> None:
        """See `require_schema`."""
        text = msgspec.json.encode(schema)
        is_kept = len(text) <= SCHEMA_BYTES_KEPT
        try:
            with allowance():
                (self._kept_as_written if is_kept else self._read_as_written)(text)
        except self._no_schema as error:
            raise UnusableSchema(f"Invalid schema: {error.message}") from error
        except RecursionError:
            raise UnusableSchema("Invalid schema: it is nested too deeply.") from None
        except (self._unresolvable, TooCostly) as error:
            raise UnusableSchema(f"Invalid schema: {error}") from error

    def check(self, value: Any, schema: dict[str, Any], reading: _Reading) -> None:
        """See `check`."""
        text = msgspec.json.encode(schema)
        validator_of = self._kept if len(text) <= SCHEMA_BYTES_KEPT else self._read
        try:
            with allowance():
                validator = validator_of(text, reading)
                fault = self._best_match(validator.iter_errors(value))
        except self._no_schema as error:
            raise UnusableSchema(f"Invalid schema: {error.message}") from error
        except RecursionError:
            raise CircularSchema(
                "Invalid schema: Unable to validate schema with circular references."
            ) from None
        except (self._unresolvable, TooCostly) as error:
            raise UnusableSchema(f"Validation failed. Failure reason: {error}") from error
        if fault is not None:
            place = "" if fault.json_path == "$" else f" for field {fault.json_path[2:]!r}"
            raise InvalidValue(f"Validation failed{place}. Failure reason: {fault.message}")


_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)


def _is_moment(value: object) -> bool:
    """Whether a text is a date and a time as in RFC 3339; what is no text may be anything."""
    if not isinstance(value, str):
        return True
    match = _MOMENT.fullmatch(value)
    try:
        return match is not None and bool(date.fromisoformat(match[1]))
    except ValueError:
        return False


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or _is_moment(f"1970-01-01T{value}")


@cache
def _library() -> _Library:
    return _Library()


def load() -> None:
    """Load the library, which takes a tenth of a second, where that holds nobody up."""
    _library()


def is_loaded() -> bool:
    """Whether a check will not have to wait for the library."""
    return _library.cache_info().currsize > 0


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
    """`schema` with nothing required. Alternatives stay: by what they require they are told apart,
    a block from a reference to one, say.
    """
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_required(each)
        for key, each in schema.items()
        if key != "required" or isinstance(each, dict)
    }


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
