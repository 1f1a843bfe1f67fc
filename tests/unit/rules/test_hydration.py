"""Placeholders become what they stand for, or the reason why they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.schema.rules.hydration import (
    HydrationFailed,
    UnknownVariable,
    hydrate,
    no_variables,
)


def of(kind: Any, **rest: Any) -> dict[str, Any]:
    return {"__prefect_kind": kind, **rest}


def variables(name: str) -> Any:
    if name != "colour":
        raise UnknownVariable(name)
    return {"rgb": [1, 2, 3]}


@pytest.mark.parametrize(
    ("value", "hydrated"),
    [
        ({"a": 1, "b": [None, "x"]}, {"a": 1, "b": [None, "x"]}),
        ({"a": of("none", value={"b": of("json", value="[1, 2]")})}, {"a": {"b": [1, 2]}}),
        ({"a": of("json", value='{"b": 1}')}, {"a": {"b": 1}}),
        ({"a": of("json", value=5)}, {"a": 5}),
        ({"a": of("json", value=of("jinja", template="{{ 1 + 1 }}"))}, {"a": 2}),
        ({"a": of("json"), "b": 1}, {"b": 1}),
        ({"a": [of("json"), 1, of("workspace_variable")]}, {"a": [1]}),
        ({"a": of("json", value=of("json"))}, {}),
        (of("json"), {}),
        (of("workspace_variable"), {}),
        ({"a": of("workspace_variable", variable_name="colour")}, {"a": {"rgb": [1, 2, 3]}}),
        ({"a": of("jinja", template="plain")}, {"a": "plain"}),
        ({"a": of("jinja", template="{{ nobody.knows }}.")}, {"a": "."}),
        ({"a": of("else", value=of("none"))}, {"a": of("none")}),
        ({"a": of(None)}, {"a": None}),
        (of("json", value="[1]"), [1]),
    ],
)
def test_a_placeholder_becomes_what_it_stands_for(value: Any, hydrated: Any) -> None:
    assert hydrate(value, variables) == hydrated


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (of("json", value="{bad"), "Invalid JSON"),
        (of("none"), "Missing 'value' key"),
        (of("jinja"), "Missing 'template' key"),
        (of("jinja", template="{{"), "Invalid jinja"),
        (of("jinja", template=5), "Invalid jinja"),
        (of("jinja", template="{{ 1 / 0 }}"), "Invalid jinja"),
        (of("workspace_variable", variable_name="size"), "Variable 'size' not found"),
        (of("workspace_variable", variable_name=["size"]), "not a text"),
    ],
)
def test_what_cannot_be_resolved_says_why(value: Any, reason: str) -> None:
    with pytest.raises(HydrationFailed, match=reason):
        hydrate({"deep": [{"inside": value}]}, variables)


def test_a_server_without_variables_knows_none() -> None:
    with pytest.raises(UnknownVariable):
        hydrate(of("workspace_variable", variable_name="colour"), no_variables)


def test_a_value_nested_beyond_reason_is_refused() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(HydrationFailed, match="too deeply"):
        hydrate(value, no_variables)
    while isinstance(value, list):  # taken apart: freeing it at once would recurse as deeply
        value = value.pop()
