"""Keywords of JSON Schema with a bound on what they cost.

Schemas and values come from whoever may call the API, and a line of either can ask for more work
than a computer has time for: a pattern that backtracks, references that double at each level, lists
compared item by item. Here a whole check has `CHECK_S_MAX` seconds of its thread's own time. Every
keyword looks whether they are over, and patterns are matched by a library that can be stopped.
Whether a schema is one at all is a check as well: of the schema, against that of its dialect.

Source: `jsonschema._keywords`, whose messages these keep.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import accumulate
from math import prod
from typing import Any

CHECK_S_MAX = 2.0
"""The largest parameters that the defaults allow are checked in half of it."""
DRAFTS = 16
PATTERN_PARTS_MAX = 30_000
"""Parts that a pattern has once it is compiled, each some 300 bytes: what must be there n times is
written out n times."""
PATTERNS_KEPT = 32
"""Compiled patterns that are ready for the next value: 300 MB, if somebody wants to fill memory."""
_LEAST_COUNT = re.compile(r"\{(\d+)", re.ASCII)
_FLAGS_OR_COMMENT = re.compile(r"\(\?[^:=!<>P|]")
_NOT_BRACKETS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^()]", re.DOTALL)

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any]]

_ends_s: ContextVar[float] = ContextVar("_ends_s")


class TooCostly(Exception):
    """The check was given up; the text says why."""


@contextmanager
def allowance() -> Iterator[None]:
    """What is checked inside has `CHECK_S_MAX` seconds of this thread's time."""
    token = _ends_s.set(time.thread_time() + CHECK_S_MAX)
    try:
        yield
    finally:
        _ends_s.reset(token)


def _left_s() -> float:
    left_s = _ends_s.get() - time.thread_time()
    if left_s <= 0:
        raise TooCostly(f"It takes more than {CHECK_S_MAX:g} s to check the value.")
    return left_s


@lru_cache(DRAFTS)
def bounded(validator: Any) -> Any:
    """A class like `validator`, one of jsonschema's, to be used inside `allowance`."""
    from jsonschema.validators import extend  # type: ignore[import-untyped]

    keywords: dict[str, Keyword] = validator.VALIDATORS
    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties(keywords["additionalProperties"]),
        "uniqueItems": _unique_items,
    }
    bounds = {name: _timed(own.get(name, keyword)) for name, keyword in keywords.items()}
    return extend(validator, bounds)


@lru_cache(1)
def specifications() -> Any:
    """The registry of the schemas of all dialects, and of nothing else, for use by `bounded`."""
    from jsonschema import validators  # type: ignore[import-untyped]
    from referencing import Registry
    from referencing.jsonschema import specification_with

    library: Any = validators
    known = library.SPECIFICATIONS
    found: dict[str, Any] = {}
    for address in known:
        contents = known.contents(address)
        dialect = specification_with(contents["$schema"])
        found[address] = dialect.create_resource(without_dialects(contents))
    return Registry().with_resources(found.items()).crawl()


@lru_cache(DRAFTS)
def schema_of_schemas(validator: Any) -> Any:
    """What checks schemas of the dialect of `validator`, to be used inside `allowance`."""
    return bounded(validator)(
        without_dialects(validator.META_SCHEMA),
        registry=specifications(),
        format_checker=validator.FORMAT_CHECKER,
    )


def require_bounded(schema: Any) -> None:
    """Return if `bounded` can check `schema`.

    Raises:
        TooCostly: it chooses what is unevaluated by patterns, which are not matched here.
    """
    if _holds(schema, "unevaluatedProperties") and _holds(schema, "patternProperties"):
        raise TooCostly("patternProperties and unevaluatedProperties cannot be used together.")


def without_dialects(schema: Any) -> Any:
    """`schema` without `$schema` in its parts: the library would leave `bounded` for another class.

    Which dialect is meant has to be found out before.
    """
    if isinstance(schema, list):
        return [without_dialects(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_dialects(each)
        for key, each in schema.items()
        if key != "$schema" or not isinstance(each, str)
    }


def _holds(schema: Any, keyword: str) -> bool:
    if isinstance(schema, dict):
        return keyword in schema or any(_holds(each, keyword) for each in schema.values())
    return isinstance(schema, list) and any(_holds(each, keyword) for each in schema)


def _timed(keyword: Keyword) -> Keyword:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _left_s()
        yield from keyword(validator, value, instance, schema) or ()

    return timed


def _matches(pattern: str, text: str) -> bool:
    try:
        return _compiled(pattern).search(text, timeout=_left_s()) is not None
    except TimeoutError:
        raise TooCostly(f"The pattern {pattern!r} takes too long to match.") from None


@lru_cache(PATTERNS_KEPT)
def _compiled(pattern: str) -> Any:
    import regex  # type: ignore[import-untyped]

    if _parts_at_most(pattern) > PATTERN_PARTS_MAX:
        raise TooCostly(f"The pattern {pattern[:100]!r} is too long, or counts too far.")
    try:
        # The library's own cache keeps hundreds of them.
        return regex.compile(pattern, cache_pattern=False)
    except regex.error as error:
        raise TooCostly(f"The pattern {pattern!r} cannot be matched: {error}.") from None


def _parts_at_most(pattern: str) -> int:
    """A bound on the parts of a pattern: counts multiply each other where groups are nested."""
    # Of longer numbers ten digits are as good.
    counts = [max(1, int(count[:10])) for count in _LEAST_COUNT.findall(pattern)]
    return len(pattern) * prod(sorted(counts, reverse=True)[: 1 + _depth_at_most(pattern)])


def _depth_at_most(pattern: str) -> int:
    """How deep groups are nested. Flags and comments may change what a bracket is: then any may
    open one more level.
    """
    if _FLAGS_OR_COMMENT.search(pattern):
        return pattern.count("(")
    brackets = _NOT_BRACKETS.sub("", pattern)
    return max(accumulate((1 if each == "(" else -1 for each in brackets), initial=0))


def _fault(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield _fault(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(plain: Keyword) -> Keyword:
    def additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
        patterns = schema.get("patternProperties")
        if not patterns or not validator.is_type(instance, "object"):
            yield from plain(validator, allowed, instance, schema) or ()
            return
        extras = [
            name
            for name in instance
            if name not in schema.get("properties", {})
            and not any(_matches(pattern, name) for pattern in patterns)
        ]
        if validator.is_type(allowed, "object"):
            for name in extras:
                yield from validator.descend(instance[name], allowed, path=name)
        elif not allowed and extras:
            verb = "does" if len(extras) == 1 else "do"
            joined = ", ".join(map(repr, sorted(extras)))
            listed = ", ".join(map(repr, sorted(patterns)))
            yield _fault(f"{joined} {verb} not match any of the regexes: {listed}")

    return additional


def _unique_items(validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if not unique or not validator.is_type(instance, "array"):
        return
    if len({_identity(each) for each in instance}) < len(instance):
        yield _fault(f"{instance!r} has non-unique elements")


def _identity(value: Any) -> Any:
    """Equal for equal JSON values, and for no others: 1 is 1.0, but not true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return ("array", *map(_identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, _identity(each)) for name, each in value.items()))
    return value
