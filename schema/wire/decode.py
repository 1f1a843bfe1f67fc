"""Bodies and query parameters into typed values: fast decoding, then the collecting validator.

A body that is written exactly is decoded by msgspec in one pass. Only when that fails is it decoded
again to plain JSON and walked (`validate`): either it is a lenient spelling, and taken, or the
answer names every mistake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import inspect

from lictor.schema.errors import BadRequest, FieldError, InvalidRequest
from lictor.schema.wire.validate import BAD, Loc, Validator

T = TypeVar("T")

ECHO_BYTES_MAX = 256 * 1024
"""A refused body is sent back beside its errors only up to this size."""

_BODY: Loc = ("body",)
_plain = msgspec.json.Decoder(strict=False).decode


class BodyDecoder(Generic[T]):
    """Decodes request bodies to `type`: one for each operation, made at start.

    `embedded`: the keys are parameters of their own, so an absent body counts as `{}`, a null key
    as an absent one, and anything but an object lacks every key. Otherwise the body is one value,
    and an absent or null one is an error.
    """

    __slots__ = ("_embedded", "_fast", "_info", "type")

    def __init__(self, type: Any, *, embedded: bool = False) -> None:
        self.type = type
        self._embedded = embedded
        self._fast = msgspec.json.Decoder(type).decode
        self._info: inspect.Type | None = None

    def __call__(self, raw: bytes) -> T:
        """The typed body.

        Raises:
            InvalidRequest: every place that is wrong.
            BadRequest: the bytes are not text, or nested too deeply.
        """
        try:
            given: T = self._fast(raw or b"{}" if self._embedded else raw)
            return given
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._collect(raw)

    def _collect(self, raw: bytes) -> T:
        """The slow way, for what the fast one refused."""
        value = self._plain(raw)
        if self._info is None:
            self._info = inspect.type_info(self.type)
        walk = Validator()
        try:
            found = self._walk(walk, value)
        except RecursionError:
            raise BadRequest("There was an error parsing the body") from None
        if found is BAD:
            echo = value if len(raw) <= ECHO_BYTES_MAX else None
            raise InvalidRequest(walk.errors, echo)
        return found  # type: ignore[no-any-return]

    def _plain(self, raw: bytes) -> Any:
        """The body as plain JSON values; None when it is absent."""
        if not raw:
            return None
        try:
            return _plain(raw)
        except (UnicodeDecodeError, RecursionError):
            raise BadRequest("There was an error parsing the body") from None
        except msgspec.DecodeError:
            return _as_python_reads_it(raw)

    def _walk(self, walk: Validator, value: Any) -> Any:
        info = self._info
        assert info is not None
        if not self._embedded:
            if value is None:
                return walk.note("missing", "Field required", _BODY, None)
            return walk.check(info, value, _BODY)
        assert isinstance(info, inspect.StructType)
        if value is None:
            value = {}
        if isinstance(value, dict):
            given = {key: item for key, item in value.items() if item is not None}
            found = walk.check(info, given, _BODY)
            walk.errors = [_of_parameter(error) for error in walk.errors]
            return found
        for field in info.fields:
            walk.note("missing", "Field required", (*_BODY, field.encode_name), None)
        return BAD


def _of_parameter(error: FieldError) -> FieldError:
    """`error` in an embedded body, whose missing keys are parameters that got no input at all."""
    if error.type == "missing" and len(error.loc) == 2:
        return msgspec.structs.replace(error, input=None)
    return error


def _as_python_reads_it(raw: bytes) -> Any:
    """What `json` makes of a body that is not strictly JSON: `NaN`, say, or UTF-16.

    Raises:
        InvalidRequest: nothing; the answer says where and why, in the words of `json`.
        BadRequest: the bytes are not text, or nested too deeply.
    """
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place, reason = error.pos, error.msg
    except UnicodeEncodeError:
        # A lone surrogate can neither be stored nor sent back.
        place, reason = 0, "Lone surrogate in a string"
    except (ValueError, RecursionError):
        raise BadRequest("There was an error parsing the body") from None
    else:
        return value
    fault = FieldError("json_invalid", ("body", place), "JSON decode error", {}, {"error": reason})
    raise InvalidRequest([fault], raw[:ECHO_BYTES_MAX].decode("utf-8", "replace"))


class _Required:
    """Stands for the default of a parameter that has none."""


REQUIRED: Final = _Required()


class HasQuery(Protocol):
    """Anything with decoded query parameters: a `Call`."""

    @property
    def query(self) -> Mapping[str, str]: ...


def query(call: HasQuery, name: str, type: type[T], default: T | _Required = REQUIRED) -> T:
    """The query parameter `name`, made a `type`; `default` when it is absent.

    Raises:
        InvalidRequest: it has no default and is absent, or it is not a `type`.
    """
    text = call.query.get(name)
    if text is None:
        if not isinstance(default, _Required):
            return default
        raise InvalidRequest([FieldError("missing", ("query", name), "Field required")])
    return parameter(("query", name), type, text)


def parameter(loc: Loc, type: type[T], text: str) -> T:
    """A value that arrives as text (in the query, in a header), made a `type`.

    Raises:
        InvalidRequest: it is not one; `loc` says where it stands.
    """
    walk = Validator()
    found: Any = walk.check(inspect.type_info(type), text, loc)
    if found is BAD:
        raise InvalidRequest(walk.errors)
    return found  # type: ignore[no-any-return]
