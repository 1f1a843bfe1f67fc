"""What the refusal of a body says of each mistake: its input, and what its message is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Raw, Struct

from lictor.schema.errors import InvalidRequest
from lictor.schema.wire.decode import BodyDecoder
from lictor.schema.wire.flow_runs import FlowRunPolicyBody
from lictor.schema.wire.task_runs import TaskRunPolicy


class Range(Struct):
    low: int
    high: int


class Body(Struct, kw_only=True):
    name: str
    size: Annotated[int, Meta(le=10)]
    id: UUID
    kind: Literal["a", "b"]


class Search(Struct, kw_only=True):
    state: Range
    limit: int | None = None


decode = BodyDecoder[Body](Body)
search = BodyDecoder[Search](Search, embedded=True)


def test_what_python_reads_as_json_is_taken() -> None:
    """Prefect reads bodies with `json`, which knows `NaN` and goes by a byte order mark."""
    assert BodyDecoder[dict[str, Raw]](dict[str, Raw])(b'{"a":NaN}') == {"a": Raw(b"null")}
    assert BodyDecoder[list[int]](list[int])("[1]".encode("utf-16")) == [1]
    assert BodyDecoder[list[int]](list[int])(b"\xef\xbb\xbf[1]") == [1]


def test_a_fault_carries_its_input_and_what_its_message_is_made_of() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"name":null,"size":11,"id":"x","kind":"c"}')
    encoded = msgspec.to_builtins(caught.value.errors)
    assert [(error["input"], error.get("ctx")) for error in encoded] == [
        (None, None),
        (11, {"le": 10}),
        ("x", {"error": "invalid character: found `x` at 0"}),
        ("c", {"expected": "'a' or 'b'"}),
    ]


def test_a_word_that_no_enumeration_has_is_answered_with_all_words_in_their_order() -> None:
    words = Literal["and_", "or_"]
    with pytest.raises(InvalidRequest) as caught:
        BodyDecoder[Any](words)(b'"nor_"')
    (error,) = caught.value.errors
    assert (error.type, error.ctx) == ("enum", {"expected": "'and_' or 'or_'"})
    with pytest.raises(InvalidRequest) as caught:
        BodyDecoder[Any](Literal["NAME_ASC", "NAME_DESC", "CREATED_DESC", "UPDATED_DESC"])(b"1")
    (error,) = caught.value.errors
    assert error.msg.startswith("Input should be 'CREATED_DESC', 'UPDATED_DESC', 'NAME_ASC'")


def test_a_missing_parameter_has_no_input_but_a_missing_field_has_its_object() -> None:
    with pytest.raises(InvalidRequest) as caught:
        search(b'{"limit":1}')
    assert caught.value.errors[0].input is None
    with pytest.raises(InvalidRequest) as caught:
        search(b'{"state":{"low":1}}')
    assert caught.value.errors[0].input == {"low": 1}


@pytest.mark.parametrize("policy", [FlowRunPolicyBody, TaskRunPolicy])
def test_a_fault_of_a_deprecated_field_is_one_of_the_field_it_feeds(policy: type[Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        BodyDecoder[Any](policy)(b'{"max_retries":"x"}')
    places = {error.loc for error in caught.value.errors}
    assert places == {("body", "max_retries"), ("body", "retries")}
    read = BodyDecoder[Any](policy)(b'{"max_retries":"2","retry_delay_seconds":"3"}')
    assert (read.retries, read.retry_delay) == (2, 3)
    with pytest.raises(InvalidRequest) as caught:
        BodyDecoder[Any](policy)(b'{"max_retries":"x","retries":1}')
    assert [error.loc for error in caught.value.errors] == [("body", "max_retries")]
