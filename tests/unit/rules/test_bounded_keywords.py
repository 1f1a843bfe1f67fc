"""What a schema may cost: patterns, doubling references and long lists are given up in time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import regex  # type: ignore[import-untyped]
from jsonschema import _keywords  # type: ignore[import-untyped]

from lictor.schema.rules import bounded_keywords
from lictor.schema.rules.json_schema import InvalidValue, UnusableSchema, check, require_schema

BACKTRACKING = "(a|aa)+$"
LONG = "a" * 60 + "!"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def doubling(levels: int) -> dict[str, Any]:
    """A schema of a few lines that asks for 2 ** levels checks of every value."""
    parts: dict[str, Any] = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)
    }
    return {"$ref": "#/$defs/l0", "$defs": parts | {f"l{levels}": {}}}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (LONG, {"pattern": BACKTRACKING}),
        ({LONG: 1}, {"patternProperties": {BACKTRACKING: {}}}),
        (
            {LONG: 1},
            {"additionalProperties": False, "patternProperties": {BACKTRACKING: {}}},
        ),
        (LONG, {"$schema": DRAFT_7, "pattern": BACKTRACKING}),
        (LONG, {"allOf": [{"$schema": DRAFT_7, "pattern": BACKTRACKING}]}),
        ({"a": 1}, doubling(60)),
    ],
)
def test_what_would_take_for_ever_is_given_up(
    value: Any, schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_keywords, "CHECK_S_MAX", 0.05)
    for as_written in (False, True):
        with pytest.raises(UnusableSchema, match=r"takes (too long|more than)"):
            check(value, schema, as_written=as_written)


MIXED = [0, *(f"{n}" for n in range(3000))]
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": MIXED},
        {"dependencies": {"a": MIXED}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "enum": [{}, *MIXED, "0"]},
    ],
)
def test_a_schema_is_checked_within_the_same_bounds(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_keywords, "uniq", None)
    for as_written in (False, True):
        with suppress(UnusableSchema, InvalidValue):
            check(1, schema, as_written=as_written)
    with suppress(UnusableSchema, InvalidValue):
        require_schema(schema)


def test_a_value_is_checked_against_the_schema_of_schemas_within_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_keywords, "uniq", None)
    with pytest.raises(InvalidValue):
        check({"type": MIXED}, {"$ref": DRAFT_2020})
    check({"type": ["string", "null"]}, {"$ref": DRAFT_2020})


def test_a_schema_that_takes_too_long_to_check_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_keywords, "CHECK_S_MAX", 0.0)
    with pytest.raises(UnusableSchema, match="takes more than"):
        require_schema({"title": "too costly"})


@pytest.mark.parametrize(
    "pattern",
    [
        "a{100000000}",
        "a{3000000,}",
        "(?:(?:a{100}){100}){100}",
        "(?x)(?:a {100}){100}",
        "(?:[)](?:[)]a{100}){100}){100}",
        r"(?:\)(?:\)a{100}){100}){100}",
        "(?#[)(?:(?:a{100}){100}){100}(?#])",
        f"(?:{'abc' * 100}){{1000}}",
        "a" * 100_001,
    ],
)
def test_a_pattern_that_would_take_much_memory_is_not_compiled(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regex, "search", None)
    with pytest.raises(UnusableSchema, match="too long, or counts too far"):
        check("a", {"pattern": pattern})


def test_patterns_that_count_a_little_are_matched() -> None:
    uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    check(" ".join([str(UUID(int=7))] * 4), {"pattern": f"^{' '.join([uuid] * 4)}$"})
    check("x" * 900, {"pattern": "^.{900}$"})


def test_patterns_choose_as_they_did() -> None:
    schema = {
        "properties": {"n": {}},
        "patternProperties": {"^x-": {"type": "integer"}},
        "additionalProperties": False,
    }
    check({"n": None, "x-a": 1}, schema)
    with pytest.raises(InvalidValue, match="'y' does not match any of the regexes: '\\^x-'"):
        check({"x-a": 1, "y": 2}, schema)
    with pytest.raises(InvalidValue, match="'a' is not of type 'integer'"):
        check({"x-a": "a"}, schema)
    with pytest.raises(InvalidValue, match="2 is not of type 'string'"):
        check({"x-a": 1, "y": 2}, schema | {"additionalProperties": {"type": "string"}})


def test_a_text_matches_anywhere_unless_anchored() -> None:
    check("xay", {"pattern": "a"})
    with pytest.raises(InvalidValue, match=r"'xay' does not match '\^a'"):
        check("xay", {"pattern": "^a"})


@pytest.mark.parametrize("value", [[1, True], [0, False], [[1], [True]], [{"a": 1}, {"a": True}]])
def test_a_number_is_no_truth_value(value: list[Any]) -> None:
    check(value, {"uniqueItems": True})


@pytest.mark.parametrize(
    "value", [[1, 1.0], ["a", "a"], [[1], [1.0]], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [None] * 2]
)
def test_equal_items_are_not_unique(value: list[Any]) -> None:
    with pytest.raises(InvalidValue, match="has non-unique elements"):
        check(value, {"uniqueItems": True})


def test_long_lists_of_mixed_items_are_compared_at_once() -> None:
    items = [item for n in range(50_000) for item in (n, str(n))]
    check(items, {"uniqueItems": True})


def test_patterns_and_unevaluated_properties_together_are_refused() -> None:
    schema = {"patternProperties": {"a": {}}, "allOf": [{"unevaluatedProperties": False}]}
    with pytest.raises(UnusableSchema, match="cannot be used together"):
        check({}, schema)
