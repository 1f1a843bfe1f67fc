"""Values against schemas that clients left: what fits, what does not, and what is no schema."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from lictor.schema.rules.json_schema import InvalidValue, UnusableSchema, check, load

N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"n": 1}, N),
        ({"n": 1, "m": 2}, N),
        ({"n": None}, {"properties": {"n": {"type": "integer"}}}),
        ({"n": {"m": None}}, {"properties": {"n": {"properties": {"m": {"type": "string"}}}}}),
        ({"t": [1, "a"]}, {"properties": {"t": {"items": [{"type": "integer"}, {}]}}}),
        (
            {"b": {"$ref": {"block_document_id": "x"}}},
            {
                "properties": {"b": {"$ref": "#/definitions/B"}},
                "definitions": {
                    "B": {
                        "title": "B",
                        "block_type_slug": "b",
                        "properties": {"secret": {"type": "string"}},
                        "required": ["secret"],
                    }
                },
            },
        ),
        ({}, {}),
        ({"n": "a"}, {"properties": {"n": {"format": "uuid"}}}),
    ],
)
def test_a_value_that_fits_passes(value: Any, schema: Any) -> None:
    check(value, schema)


@pytest.mark.parametrize(
    ("value", "schema", "reason"),
    [
        ({"n": "x"}, N, "for field 'n'. Failure reason: 'x' is not of type 'integer'"),
        ({}, N, "Validation failed. Failure reason: 'n' is a required property"),
        ({"n": None}, N, "None is not of type 'integer'"),
        ([1], N, "is not of type 'object'"),
        (
            {"n": None},
            {"properties": {"n": {"type": "integer", "default": 3}}},
            "None is not of type 'integer'",
        ),
        (
            {"a": {"b": [1, "x"]}},
            {"properties": {"a": {"properties": {"b": {"items": {"type": "integer"}}}}}},
            r"for field 'a\.b\[1\]'",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_where(value: Any, schema: Any, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        check(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        [],
        5,
        {"type": 7},
        {"properties": 5},
        {"properties": {"n": {"pattern": "["}}},
        {"required": 3, "properties": {"n": {}}},
        {"required": [[]], "properties": {"n": {"type": "integer"}}},
        {"$ref": "#/definitions/A", "definitions": {"A": {"$ref": "#/definitions/A"}}},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#/definitions/missing"},
        {"definitions": [1], "$ref": "#/definitions/0"},
    ],
)
def test_what_is_no_schema_is_refused_and_nothing_is_fetched(
    schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a schema opened a connection")

    monkeypatch.setattr(socket, "create_connection", forbidden)
    with pytest.raises(UnusableSchema):
        check({"n": "x"}, schema)


def test_the_schema_of_the_caller_is_not_changed() -> None:
    schema = {"properties": {"n": {"type": "integer", "items": [{}]}}, "definitions": {"A": {}}}
    before = repr(schema)
    check({"n": None}, schema)
    assert repr(schema) == before


def test_alternatives_keep_what_they_require_where_nothing_else_is_required() -> None:
    block = {"type": "object", "properties": {"x": {}}, "required": ["x"], "block_type_slug": "k"}
    schema = {
        "properties": {"b": {"$ref": "#/definitions/B"}},
        "required": ["b"],
        "definitions": {"B": block},
    }
    check({}, schema, may_be_partial=True)
    check({"b": {"x": 1}}, schema, may_be_partial=True)
    check({"b": {"$ref": {"block_document_id": "id"}}}, schema, may_be_partial=True)
    with pytest.raises(InvalidValue):
        check({"b": {}}, schema, may_be_partial=True)


def test_a_schema_may_be_read_as_it_is_written_and_by_the_draft_it_names() -> None:
    optional = {"properties": {"x": {"type": "integer"}}}
    check({"x": None}, optional)
    with pytest.raises(InvalidValue):
        check({"x": None}, optional, as_written=True)
    draft = "http://json-schema.org/draft-06/schema#"
    pair = {"dependencies": {"x": ["y"]}}
    check({"x": 1}, pair, as_written=True)
    with pytest.raises(InvalidValue):
        check({"x": 1}, {"$schema": draft, **pair}, as_written=True)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (
            "date-time",
            ["2026-01-31t23:59:59.5Z", "2024-02-29T00:00:00-05:30", 5],
            "2026-02-29T00:00:00Z",
        ),
        ("date-time", ["0001-01-01T00:00:00Z"], "2026-01-01T24:00:00Z"),
        ("time", ["08:30:06.28Z", None], "08:30"),
        ("date", ["2026-01-31"], "2026-1-31"),
        ("email", ["a@b"], "a"),
        ("uuid", ["00000000-0000-4000-8000-000000000000"], "0"),
        ("of-our-own", ["anything"], None),
    ],
)
def test_formats_are_checked_where_that_is_asked_for(
    name: str, right: list[Any], wrong: str | None
) -> None:
    schema = {"properties": {"x": {"format": name}}}
    for value in right:
        check({"x": value}, schema, with_formats=True)
    check({"x": wrong}, schema)
    if wrong is not None:
        with pytest.raises(InvalidValue):
            check({"x": wrong}, schema, with_formats=True)
