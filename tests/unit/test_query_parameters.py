"""Query parameters: text made a type, or a fault with its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from lictor.schema.errors import InvalidRequest
from lictor.schema.wire.decode import query

ID = UUID("0188a000-0000-7000-8000-0000000000ab")


def call(**parameters: str) -> Any:
    return SimpleNamespace(query=parameters)


def test_a_query_parameter_is_made_its_type() -> None:
    assert query(call(limit="5"), "limit", int) == 5
    assert query(call(on="yes"), "on", bool, False) is True
    assert query(call(id=str(ID)), "id", UUID) == ID


def test_a_query_parameter_may_have_a_default() -> None:
    assert query(call(), "limit", int, 7) == 7


@pytest.mark.parametrize(
    ("parameters", "type"),
    [({}, "missing"), ({"limit": "x"}, "int_parsing"), ({"limit": ""}, "int_parsing")],
)
def test_a_wrong_query_parameter_is_named(parameters: dict[str, str], type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        query(call(**parameters), "limit", int)
    assert [(error.type, error.loc) for error in caught.value.errors] == [
        (type, ("query", "limit"))
    ]
