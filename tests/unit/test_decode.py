"""Bodies into typed values: the fast way, the collecting way, and that the two agree."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from lictor.schema.errors import BadRequest, InvalidRequest
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.decode import ECHO_BYTES_MAX, BodyDecoder
from lictor.schema.wire.validate import BAD, ERRORS_MAX, Validator

ID = UUID("0188a000-0000-7000-8000-0000000000ab")
Places = list[tuple[str, tuple[str | int, ...]]]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Circle(Struct, tag="circle"):
    radius: float


class Square(Struct, tag="square", forbid_unknown_fields=True):
    side: Annotated[int, Meta(ge=0)]


class Leaf(Struct, kw_only=True, forbid_unknown_fields=True):
    id: UUID
    at: datetime | None = None
    leaves: list[Leaf] = []


class Range(Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")
        if self.low < 0:
            raise Fault("below zero", at=("low",))


class Body(Struct, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=8, pattern="^[a-z]+$")]
    size: Annotated[int, Meta(ge=0, le=10)] = 1
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    on: bool = True
    kind: Literal["a", "b"] = "a"
    level: Literal[1, None] = 1
    colour: Colour = Colour.RED
    leaf: Leaf | None = None
    tags: Annotated[list[str], Meta(min_length=0, max_length=2)] = []
    labels: dict[str, int] = {}
    words: set[str] = set()
    pair: tuple[int, str] = (0, "")
    row: tuple[int, ...] = ()
    wait: timedelta = timedelta()
    shape: Circle | Square | None = None
    value: str | list[int] | None = None
    range: Range | None = None
    data: Any = None
    raw: msgspec.Raw = msgspec.Raw(b"null")
    renamed: int = msgspec.field(name="as", default=0)
    given: int | UnsetType | None = UNSET


decode = BodyDecoder[Body](Body)


def places(decoder: BodyDecoder[Any], raw: bytes) -> Places:
    with pytest.raises(InvalidRequest) as caught:
        decoder(raw)
    return [(error.type, error.loc) for error in caught.value.errors]


def fault_of(**fields: Any) -> Places:
    """The errors of a `Body` whose other fields are fine."""
    return places(decode, msgspec.json.encode({"name": "x"} | fields))


def test_an_exact_body_is_decoded_as_it_is() -> None:
    body = decode(b'{"name":"x","leaf":{"id":"0188a000-0000-7000-8000-0000000000ab"}}')
    assert body == Body(name="x", leaf=Leaf(id=ID))
    assert body.given is UNSET


def test_lenient_spellings_give_the_value_they_mean() -> None:
    raw = msgspec.json.encode(
        {
            "name": "x",
            "size": "3",
            "share": "0.25",
            "on": "yes",
            "colour": "blue",
            "leaf": {"id": "{" + str(ID) + "}", "at": 2082758400, "leaves": [{"id": ID.hex}]},
            "labels": {"n": 2.0},
            "words": ["b", "a", "b"],
            "pair": ["1", "x"],
            "row": ["1", 2],
            "wait": 90,
            "shape": {"type": "square", "side": "4"},
            "value": ["1"],
            "raw": {"k": [1]},
            "as": "5",
            "given": None,
            "level": None,
        }
    )
    body = decode(raw)
    leaf = Leaf(id=ID, at=datetime(2036, 1, 1, tzinfo=UTC), leaves=[Leaf(id=ID)])
    assert body.raw == msgspec.Raw(b'{"k":[1]}')
    body.raw = msgspec.Raw(b"null")
    assert body == Body(
        name="x",
        size=3,
        share=0.25,
        on=True,
        colour=Colour.BLUE,
        leaf=leaf,
        labels={"n": 2},
        words={"a", "b"},
        pair=(1, "x"),
        row=(1, 2),
        wait=timedelta(seconds=90),
        shape=Square(4),
        value=[1],
        renamed=5,
        given=None,
        level=None,
    )


def test_every_mistake_is_named_with_its_place() -> None:
    raw = b'{"name":5,"size":"x","leaf":{"at":true,"no":1,"leaves":[{"id":"x"}]},"labels":{"a":[]}}'
    assert places(decode, raw) == [
        ("string_type", ("body", "name")),
        ("int_parsing", ("body", "size")),
        ("missing", ("body", "leaf", "id")),
        ("value_error", ("body", "leaf", "at")),
        ("uuid_parsing", ("body", "leaf", "leaves", 0, "id")),
        ("extra_forbidden", ("body", "leaf", "no")),
        ("int_type", ("body", "labels", "a")),
    ]


@pytest.mark.parametrize(
    ("fields", "type", "place"),
    [
        ({"name": ""}, "string_too_short", ("name",)),
        ({"name": "abcdefghi"}, "string_too_long", ("name",)),
        ({"name": "A"}, "string_pattern_mismatch", ("name",)),
        ({"size": -1}, "greater_than_equal", ("size",)),
        ({"size": 11}, "less_than_equal", ("size",)),
        ({"share": 0}, "greater_than", ("share",)),
        ({"share": 1}, "less_than", ("share",)),
        ({"kind": "c"}, "literal_error", ("kind",)),
        ({"kind": None}, "literal_error", ("kind",)),
        ({"level": True}, "literal_error", ("level",)),
        ({"colour": "green"}, "enum", ("colour",)),
        ({"leaf": []}, "model_attributes_type", ("leaf",)),
        ({"tags": ["a", "b", "c"]}, "too_long", ("tags",)),
        ({"tags": {"a": 1}}, "list_type", ("tags",)),
        ({"labels": []}, "dict_type", ("labels",)),
        ({"words": "a"}, "set_type", ("words",)),
        ({"pair": [1]}, "missing", ("pair", 1)),
        ({"pair": [1, "x", 2]}, "too_long", ("pair",)),
        ({"pair": {}}, "tuple_type", ("pair",)),
        ({"row": ["x"]}, "int_parsing", ("row", 0)),
        ({"wait": "x"}, "time_delta_parsing", ("wait",)),
        (
            {"shape": {"type": "square", "side": -1}},
            "greater_than_equal",
            ("shape", "Square", "side"),
        ),
        ({"value": [[]]}, "int_type", ("value", "list[int]", 0)),
        ({"range": {"low": 2, "high": 1}}, "value_error", ("range",)),
        ({"range": {"low": -1, "high": 1}}, "value_error", ("range", "low")),
        ({"as": "x"}, "int_parsing", ("as",)),
        ({"given": "x"}, "int_parsing", ("given",)),
    ],
)
def test_a_fault_has_its_kind_and_place(
    fields: dict[str, Any], type: str, place: tuple[str | int, ...]
) -> None:
    assert (type, ("body", *place)) in fault_of(**fields)


def test_an_unknown_tag_is_a_fault_inside_each_member_of_the_union() -> None:
    found = fault_of(shape={"type": "star"})
    assert {loc[:2] for _, loc in found} == {("body", "shape")}
    assert {loc[2] for _, loc in found} == {"Circle", "Square"}


def test_a_tag_that_is_left_out_is_found_by_what_fits() -> None:
    body = decode(b'{"name":"x","shape":{"side":3}}')
    assert body.shape == Square(3)


@pytest.mark.parametrize(
    "raw", [b"{", b"nonsense", b'{"name": "x",}', b'"open', b"[1] x", b'"\\ud800"']
)
def test_what_is_not_json_is_named_with_the_position(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(raw)
    (error,) = caught.value.errors
    assert error.type == "json_invalid"
    assert error.loc[0] == "body"
    assert isinstance(error.loc[1], int)
    assert 0 <= error.loc[1] <= len(raw)


@pytest.mark.parametrize("raw", [b'"\xff"', b"[" * 100_000, b'{"name":"\xc3"}'])
def test_what_is_not_even_text_or_has_no_end_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises((BadRequest, InvalidRequest)):
        decode(raw)


def test_a_recursive_body_nested_beyond_all_measure_is_a_bad_request() -> None:
    depth = 400
    leaf = f'{{"id":"{{{ID}}}","leaves":['
    raw = f'{{"name":"x","leaf":{leaf * depth}{"]}" * depth}}}'
    with pytest.raises(BadRequest):
        decode(raw.encode())


@pytest.mark.parametrize("raw", [b"", b"null"])
def test_a_body_that_is_missing_is_missing_as_a_whole(raw: bytes) -> None:
    assert places(decode, raw) == [("missing", ("body",))]


@pytest.mark.parametrize(
    ("raw", "type"), [(b"[]", "model_attributes_type"), (b'"x"', "model_attributes_type")]
)
def test_a_body_of_another_kind_is_wrong_as_a_whole(raw: bytes, type: str) -> None:
    assert places(decode, raw) == [(type, ("body",))]


def test_a_body_may_be_a_list_or_a_text() -> None:
    assert BodyDecoder[list[int]](list[int])(b'[1,"2"]') == [1, 2]
    assert places(BodyDecoder(list[int]), b"{}") == [("list_type", ("body",))]
    assert places(BodyDecoder(list[int]), b'[1,"x"]') == [("int_parsing", ("body", 1))]
    assert places(BodyDecoder(str), b"5") == [("string_type", ("body",))]


class Search(Struct, kw_only=True):
    state: Range
    limit: int | None = None
    offset: Annotated[int, Meta(ge=0)] = 0


embedded = BodyDecoder[Search](Search, embedded=True)


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b'{"state":null}'])
def test_keys_that_are_parameters_are_missing_one_by_one(raw: bytes) -> None:
    assert places(embedded, raw) == [("missing", ("body", "state"))]


def test_a_null_parameter_counts_as_absent() -> None:
    found = embedded(b'{"state":{"low":1,"high":2},"offset":null,"limit":null}')
    assert found == Search(state=Range(1, 2))


def test_a_body_that_holds_no_parameters_lacks_them_all() -> None:
    assert places(embedded, b"[]") == [
        ("missing", ("body", name)) for name in ("state", "limit", "offset")
    ]


def test_an_absent_body_of_optional_parameters_is_all_defaults() -> None:
    class Page(Struct):
        limit: int | None = None

    assert BodyDecoder[Page](Page, embedded=True)(b"") == Page()


def test_the_refused_body_is_sent_back_unless_it_is_huge() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"name":5}')
    assert caught.value.request_body == {"name": 5}
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"name":5,"data":"' + b"x" * ECHO_BYTES_MAX + b'"}')
    assert caught.value.request_body is None


def test_the_number_of_errors_is_bounded() -> None:
    raw = msgspec.json.encode({"name": "x", "row": ["x"] * (ERRORS_MAX + 50)})
    assert len(places(decode, raw)) == ERRORS_MAX
    raw = msgspec.json.encode({"name": "x", "value": [[]] * (ERRORS_MAX + 50)})
    assert len(places(decode, raw)) == ERRORS_MAX


scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | st.sampled_from(
        ["a", "b", "red", "circle", "square", str(ID), "2036-01-01T00:00:00Z", "PT1H"]
    )
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "at", "leaves", "type", "side", "radius", "low", "high", "k"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
bodies = st.fixed_dictionaries(
    {}, optional={field.encode_name: trees for field in msgspec.structs.fields(Body)}
)


def comparable(body: Body) -> list[Any]:
    return [
        bytes(value) if isinstance(value, msgspec.Raw) else value
        for value in msgspec.structs.astuple(body)
    ]


@given(bodies | trees)
def test_whatever_arrives_is_a_value_or_a_list_of_errors(value: Any) -> None:
    try:
        found = decode(msgspec.json.encode(value))
    except InvalidRequest as error:
        refused = error
    else:
        assert isinstance(found, Body)
        return
    assert refused.errors
    assert all(error.loc[0] == "body" for error in refused.errors)
    msgspec.json.encode(refused.body())


@given(bodies)
def test_what_the_fast_way_takes_the_collecting_way_takes_as_the_same(value: Any) -> None:
    raw = msgspec.json.encode(value)
    try:
        fast = msgspec.json.decode(raw, type=Body)
    except msgspec.DecodeError:
        return
    walk = Validator()
    slow = walk.check(inspect.type_info(Body), msgspec.json.decode(raw), ("body",))
    assert slow is not BAD, walk.errors
    assert comparable(slow) == comparable(fast)


exact = st.fixed_dictionaries(
    {"name": st.from_regex("[a-z]{1,8}", fullmatch=True)},
    optional={
        "size": st.integers(0, 10),
        "share": st.floats(0.01, 0.99),
        "on": st.booleans(),
        "leaf": st.fixed_dictionaries({"id": st.uuids().map(str)}),
        "labels": st.dictionaries(st.text(max_size=3), st.integers()),
        "row": st.lists(st.integers()),
        "shape": st.none()
        | st.fixed_dictionaries({"type": st.just("circle"), "radius": st.floats(0, 9)}),
        "value": st.text() | st.lists(st.integers()),
        "raw": trees,
        "given": st.none() | st.integers(),
    },
)


@given(exact)
def test_both_ways_agree_on_exact_bodies(value: Any) -> None:
    raw = msgspec.json.encode(value)
    slow = Validator().check(inspect.type_info(Body), msgspec.json.decode(raw), ("body",))
    assert comparable(slow) == comparable(decode(raw))
