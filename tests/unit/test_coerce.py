"""Lenient spellings of scalars, one by one, as Prefect's server takes or refuses them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from lictor.schema.wire import coerce
from lictor.schema.wire.coerce import Fault

ID = "0188a000-0000-7000-8000-0000000000ab"
MOMENT = datetime(2036, 1, 1)


def refused(convert: Callable[[Any], Any], value: Any) -> str:
    with pytest.raises(Fault) as caught:
        convert(value)
    return caught.value.type


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1", 1),
        (" 1 ", 1),
        ("+1", 1),
        ("1_000", 1000),
        ("1.0", 1),
        ("-0", 0),
        ("01", 1),
        (True, 1),
        (1.0, 1),
        (2**70, 2**70),
        ("9" * 30, int("9" * 30)),
    ],
)
def test_an_integer_may_be_spelled_as(value: Any, number: int) -> None:
    found = coerce.integer(value)
    assert (found, type(found)) == (number, int)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(text, "int_parsing") for text in ("", "1.5", "1.", "1e3", "0x1", "1_", "_1", "1__0", "٣")]
    + [(1.5, "int_from_float"), (math.inf, "finite_number"), (math.nan, "finite_number")]
    + [
        (1e20, "int_parsing_size"),
        (None, "int_type"),
        ([], "int_type"),
        ("9" * 4301, "int_parsing"),
    ],
)
def test_an_integer_is_not(value: Any, fault: str) -> None:
    assert refused(coerce.integer, value) == fault


@pytest.mark.parametrize(
    ("value", "number"), [("1", 1.0), (" 1.5 ", 1.5), ("1e3", 1000.0), (True, 1.0), (1, 1.0)]
)
def test_a_number_may_be_spelled_as(value: Any, number: float) -> None:
    found = coerce.number(value)
    assert (found, type(found)) == (number, float)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "float_parsing"),
        ("x", "float_parsing"),
        (None, "float_type"),
        ([], "float_type"),
        ("nan", "finite_number"),
        ("inf", "finite_number"),
        (2**2000, "finite_number"),
    ],
)
def test_a_number_is_not(value: Any, fault: str) -> None:
    assert refused(coerce.number, value) == fault


@pytest.mark.parametrize("value", ["true", "TRUE", "yes", "Y", "on", "1", "t", True, 1, 1.0])
def test_yes_may_be_spelled_as(value: Any) -> None:
    assert coerce.boolean(value) is True


@pytest.mark.parametrize("value", ["false", "False", "no", "n", "off", "0", "f", False, 0, 0.0])
def test_no_may_be_spelled_as(value: Any) -> None:
    assert coerce.boolean(value) is False


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "bool_parsing"),
        (" true", "bool_parsing"),
        ("kind of", "bool_parsing"),
        (2, "bool_parsing"),
        (0.5, "bool_type"),
        (None, "bool_type"),
        ([], "bool_type"),
    ],
)
def test_a_boolean_is_not(value: Any, fault: str) -> None:
    assert refused(coerce.boolean, value) == fault


@pytest.mark.parametrize("value", [1, 1.5, True, None, [], {}])
def test_text_is_only_text(value: Any) -> None:
    assert refused(coerce.string, value) == "string_type"


@pytest.mark.parametrize(
    "value", [ID, ID.upper(), ID.replace("-", ""), "{" + ID + "}", "urn:uuid:" + ID, UUID(ID)]
)
def test_an_id_may_be_spelled_as(value: Any) -> None:
    assert coerce.uuid(value) == UUID(ID)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "invalid length: found 0"),
        (" " + ID, "invalid character: found ` ` at 0"),
        (ID + " ", "invalid character: found ` ` at 36"),
        (ID + "\n", "invalid character: found `\n` at 36"),
        (ID[:-1], "invalid group length in group 4: expected 12, found 11"),
        ("URN:UUID:" + ID, "invalid character: found `U` at 0"),
        ("{" + ID, "invalid character: found `{` at 0"),
        ("x" * 36, "invalid character: found `x` at 0"),
        ("{" + ID.replace("-", "") + "}", "invalid group count: expected 5, found 1"),
        ("urn:uuid:" + ID.replace("-", ""), "invalid group count: expected 5, found 1"),
        ("{" + ID[:8] + "g" + ID[8:] + "}", "invalid character: found `g` at 9"),
        ("urn:uuid:" + ID[:-1] + "g", "invalid character: found `g` at 35"),
        ("urn:uuid:" + ID + "0", "invalid length: found 46"),
        (ID[1:], "invalid group length in group 0: expected 8, found 7"),
        (ID.replace("-", "", 1), "invalid group count: expected 5, found 4"),
        ("0" * 31, "invalid length: found 31"),
    ],
)
def test_an_id_is_not(value: str, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        coerce.uuid(value)
    assert (caught.value.type, caught.value.ctx) == ("uuid_parsing", {"error": reason})
    assert caught.value.msg == f"Input should be a valid UUID, {reason}"


@pytest.mark.parametrize("value", [5, None, [], True])
def test_an_id_is_text(value: Any) -> None:
    assert refused(coerce.uuid, value) == "uuid_type"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2036-01-01", MOMENT),
        ("2036-01-01T00:00:00", MOMENT),
        ("2036-01-01 00:00", MOMENT),
        ("2036-01-01_00:00:00", MOMENT),
        ("2036-01-01T00:00Z", MOMENT.replace(tzinfo=UTC)),
        ("2036-01-01t00:00:00z", MOMENT.replace(tzinfo=UTC)),
        ("2036-01-01T02:00:00+02:00", MOMENT.replace(tzinfo=UTC)),
        ("2035-12-31T19:00:00-0500", MOMENT.replace(tzinfo=UTC)),
        ("2035-12-31T19:00:00−05:00", MOMENT.replace(tzinfo=UTC)),
        ("2036-01-01T00:00:00.1234567Z", MOMENT.replace(microsecond=123456, tzinfo=UTC)),
        ("2036-01-01T00:00:00,5Z", MOMENT.replace(microsecond=500000, tzinfo=UTC)),
        ("2036-01-01T00", MOMENT),
        ("2036-01-01T00:00:00+00", MOMENT.replace(tzinfo=UTC)),
        ("20360101T000000Z", MOMENT.replace(tzinfo=UTC)),
        ("20360101T00", MOMENT),
        ("2036-01", MOMENT),
        ("2036/01/01", MOMENT),
        ("2036-001", MOMENT),
        ("2036-366", datetime(2036, 12, 31)),
        ("2036-W01", datetime(2035, 12, 31)),
        ("2036-W01-2T10:00", datetime(2036, 1, 1, 10)),
        (2082758400, MOMENT.replace(tzinfo=UTC)),
        ("2082758400", MOMENT.replace(tzinfo=UTC)),
        (2082758400000, MOMENT.replace(tzinfo=UTC)),
        ("1.5", datetime(1970, 1, 1, 0, 0, 1, 500000, UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 0, UTC)),
        (20_000_000_000, datetime(2603, 10, 11, 11, 33, 20, 0, UTC)),
        (20_000_000_001, datetime(1970, 8, 20, 11, 33, 20, 1000, UTC)),
    ],
)
def test_a_moment_may_be_spelled_as(value: Any, moment: datetime) -> None:
    found = coerce.moment(value)
    assert found == moment
    assert (found.tzinfo is None) == (moment.tzinfo is None)


def test_now_is_the_moment_it_is_read() -> None:
    before = datetime.now(UTC)
    assert before <= coerce.moment("now") <= datetime.now(UTC)


def test_an_offset_is_kept() -> None:
    found = coerce.moment("2036-01-01T00:00:00-23:59")
    assert found.tzinfo == timezone(-timedelta(hours=23, minutes=59))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "24:00",
        "2036-13-01T00:00:00Z",
        "2036-01-32",
        "2036-01-01T24:00:00",
        "2036-1-1",
        "2036-01-01T00:00:60Z",
        "2036-01-01x10",
        "2036-01-01T24",
        "2036-000",
        "2035-366",
        "2036-W54",
        "9999-999",
        "2036-13",
        "2036-01/01",
        "NOW",
        "2036-01-01T00:00:00.Z",
        "1e9",
        "1_000",
        "2036-01-01T00:00:00 Z",
        "2036-01-01T00:00:00+24:00",
        " 2036-01-01T00:00:00Z",
        "0000-01-01",
        "2036-01-01\n",
        "2036-01-01T00:00:00+0",
    ],
)
def test_a_moment_is_not(value: str) -> None:
    assert refused(coerce.moment, value) == "value_error"


@pytest.mark.parametrize("value", [1e20, 253402300800000, 10**400, math.inf, math.nan, "9" * 400])
def test_a_moment_beyond_the_calendar_is_refused(value: Any) -> None:
    assert refused(coerce.moment, value) == "value_error"


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_a_moment_is_text_or_a_number(value: Any) -> None:
    assert refused(coerce.moment, value) == "value_error"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5),
        (5.5, 5.5),
        (True, 1),
        ("PT1H", 3600),
        ("-PT1H", -3600),
        ("+PT1H", 3600),
        ("P1D", 86400),
        ("P1W", 604800),
        ("P1M", 30 * 86400),
        ("P1Y", 365 * 86400),
        ("P1DT1H1M1S", 90061),
        ("PT1.5S", 1.5),
        ("P0.5D", 43200),
        ("01:00:00", 3600),
        ("1:00:00", 3600),
        ("01:00", 3600),
        ("01:00:00.5", 3600.5),
        ("-01:00:00", -3600),
        ("25:00:00", 90000),
        ("1 day", 86400),
        ("1D", 86400),
        ("1d01:00:00", 90000),
        ("1 days, 01:00:00", 90000),
        ("10 days 01:00", 867600),
    ],
)
def test_a_duration_may_be_spelled_as(value: Any, seconds: float) -> None:
    assert coerce.period(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        "5.5",
        "-5",
        "x",
        "P",
        "PT",
        "pt1h",
        "00:61:00",
        "00:00:61",
        "1 01:00:00",
        "-",
        1e20,
        math.nan,
        10**400,
        "P9999999999D",
    ],
)
def test_a_duration_is_not(value: Any) -> None:
    assert refused(coerce.period, value) == "time_delta_parsing"


@pytest.mark.parametrize("value", [None, [], {}])
def test_a_duration_is_text_or_a_number(value: Any) -> None:
    assert refused(coerce.period, value) == "time_delta_type"
