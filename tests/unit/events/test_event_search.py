"""Filters of events: the predicate and the search agree with a plain reading of the grammar."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lictor.schema import times
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.events.event import Event
from lictor.schema.events.filters import EventFilter, compile_filter, glob, interval
from lictor.schema.tables import events
from lictor.schema.tables.event_search import Cursor, Search, read_page

NOW = "2026-11-21T12:00:00.000000Z"
NAMES = ["run.a", "run.b", "ran", "r", ""]
IDS = ["x", "x.1", "x.2", "y", "xé"]
ROLES = ["boss", "aide"]
VALUES = ["low", "high", "LOW", ""]
GLOBS = ["low", "l*", "?ow", "!low", "!*", "[hl]*", "*", ""]
PREFIXES = ["r", "run.", "x", "x.", "\U0010ffff", "\ud7ff", ""]

resources = st.builds(
    lambda id_, level: {"prefect.resource.id": id_, **({} if level is None else {"level": level})},
    st.sampled_from(IDS),
    st.none() | st.sampled_from(VALUES),
)
related = st.builds(
    lambda resource, role: {**resource, "prefect.resource.role": role},
    resources,
    st.sampled_from(ROLES),
)


@st.composite
def stored_events(draw: st.DrawFn) -> list[Event]:
    count = draw(st.integers(0, 8))
    return [
        Event(
            occurred=times.shift(NOW, -draw(st.integers(0, 5))),
            event=draw(st.sampled_from(NAMES)),
            resource=draw(resources),
            related=draw(st.lists(related, max_size=3)),
            payload=draw(st.sampled_from([{}, {"word": "Needle"}, {"word": "hay"}])),
            id=str(UUID(int=number)),
            follows=None,
            received=NOW,
        )
        for number in range(count)
    ]


def listed(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(values), max_size=2)


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


specs = st.dictionaries(
    st.sampled_from(["level", "prefect.resource.id", "prefect.resource.role"]),
    st.sampled_from(GLOBS) | listed([*GLOBS, *ROLES]),
    max_size=2,
)
moments = st.integers(-6, 1).map(lambda seconds: times.shift(NOW, seconds))
related_filters = some(
    id=listed(IDS),
    role=listed(ROLES),
    resources_in_roles=st.lists(
        st.tuples(st.sampled_from(IDS), st.sampled_from(ROLES)), max_size=2
    ),
    labels=specs,
)
any_filters = some(id=listed(IDS), id_prefix=listed(PREFIXES), labels=specs)
event_filters = some(
    occurred=some(since=moments, until=moments),
    event=some(
        name=listed(NAMES), exclude_name=listed(NAMES), prefix=listed(PREFIXES),
        exclude_prefix=listed(PREFIXES),
    ),
    resource=some(
        id=listed(IDS), id_prefix=listed(PREFIXES), labels=specs, distinct=st.booleans()
    ),
    related=related_filters | st.lists(related_filters, max_size=2),
    any_resource=any_filters | st.lists(any_filters, max_size=2),
    id=some(id=st.lists(st.integers(0, 9).map(lambda n: str(UUID(int=n))), max_size=3)),
    text=st.fixed_dictionaries(
        {"query": st.sampled_from(["needle", "-hay", "+needle", "-needle -x", " ", "low -x"])}
    ),
    order=st.sampled_from(["ASC", "DESC"]),
)  # fmt: skip


def accepts(filter_: dict[str, Any], event: Event) -> bool:
    """The grammar read aloud, for one event."""
    occurred = filter_.get("occurred", {})
    name = filter_.get("event", {})
    own = filter_.get("resource", {})
    ids = filter_.get("id", {}).get("id")
    involved = [event.resource, *event.related]
    return (
        occurred.get("since", "") <= event.occurred <= occurred.get("until", NOW)
        and (not name.get("name") or event.event in name["name"])
        and event.event not in name.get("exclude_name", [])
        and (not name.get("prefix") or any(map(event.event.startswith, name["prefix"])))
        and not any(map(event.event.startswith, name.get("exclude_prefix", [])))
        and is_such(own, event.resource, role_is_exact=False)
        and all(
            any(is_such(one, resource) for resource in event.related)
            for one in as_list(filter_.get("related"))
            if asks(one)
        )
        and all(
            any(is_such(one, resource) for resource in involved)
            for one in as_list(filter_.get("any_resource"))
            if asks(one)
        )
        and (not ids or event.id in ids)
        and says(filter_.get("text", {}).get("query", ""), event)
    )


def as_list(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [] if value is None else [value]


def asks(filter_: dict[str, Any]) -> bool:
    return any(filter_.values())


def is_such(filter_: dict[str, Any], resource: dict[str, str], role_is_exact: bool = True) -> bool:
    id_, role = resource["prefect.resource.id"], resource.get("prefect.resource.role")
    pairs = filter_.get("resources_in_roles")
    return (
        (not filter_.get("id") or id_ in filter_["id"])
        and (not filter_.get("id_prefix") or any(map(id_.startswith, filter_["id_prefix"])))
        and (not filter_.get("role") or role in filter_["role"])
        and (not pairs or (id_, role) in [tuple(pair) for pair in pairs])
        and all(
            is_like(resource.get(label), wanted, exact=role_is_exact and label.endswith("role"))
            for label, wanted in filter_.get("labels", {}).items()
        )
    )


def is_like(value: str | None, wanted: str | list[str], exact: bool) -> bool:
    wishes = [wanted] if isinstance(wanted, str) else wanted
    if value is None:
        return False
    if exact:
        return value in wishes
    return any(
        not fnmatchcase(value, wish[1:]) if wish.startswith("!") else fnmatchcase(value, wish)
        for wish in wishes
    )


def says(query: str, event: Event) -> bool:
    text = msgspec.json.encode([event.event, event.resource, event.related, event.payload])
    for word in query.split():
        here = word.lstrip("+-").encode() in text.lower()
        if here == word.startswith("-"):
            return False
    return True


@given(stored=stored_events(), filter_=event_filters)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
def test_the_predicate_and_the_search_agree_with_the_grammar(
    tx: SqliteTx, stored: list[Event], filter_: dict[str, Any]
) -> None:
    made = msgspec.convert(filter_, EventFilter)
    wanted = [event for event in stored if accepts(filter_, event)]
    compiled = compile_filter(made, interval(made, NOW))
    assert [event for event in stored if compiled.matches(event)] == wanted
    if compiled.names is not None:
        assert {event.event for event in wanted} <= compiled.names

    is_descending = filter_.get("order") != "ASC"
    wanted.sort(key=lambda event: (event.occurred, event.id), reverse=is_descending)
    if filter_.get("resource", {}).get("distinct"):
        firsts = {event.resource_id: event for event in reversed(wanted)}
        wanted = [event for event in wanted if firsts[event.resource_id] is event]
    tx.run("SAVEPOINT example")
    events.insert(tx, stored)
    found, total, pages = [], None, 0
    cursor: Cursor | None = None
    while True:
        page = read_page(tx, made, interval(made, NOW), 3, cursor, total)
        found += page.events
        total, cursor = page.total, page.cursor
        pages += 1
        if len(page.events) < 3:
            break
    tx.run("ROLLBACK TO example")
    assert found == wanted
    assert total == len(wanted)
    assert pages == len(wanted) // 3 + 1


def event(number: int, **changes: Any) -> Event:
    made = Event(
        times.shift(NOW, -100 + number), "e", {"prefect.resource.id": f"r.{number}"}, [], {},
        str(UUID(int=number)), None, NOW,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_pages_stay_the_same_while_events_arrive(tx: SqliteTx) -> None:
    events.insert(tx, [event(number) for number in range(6)])
    everything = EventFilter()
    times_ = interval(everything, NOW)
    first = read_page(tx, everything, times_, 3)
    events.insert(tx, [event(50)])
    second = read_page(tx, everything, times_, 3, first.cursor, first.total)
    assert [item.id for item in (*first.events, *second.events)] == [
        str(UUID(int=number)) for number in (5, 4, 3, 2, 1, 0)
    ]


def test_an_event_that_names_a_resource_twice_is_one_event(tx: SqliteTx) -> None:
    twice = [{"prefect.resource.id": "r.1", "prefect.resource.role": role} for role in ROLES]
    events.insert(tx, [event(1, related=twice), event(2, related=twice), event(3)])
    for part in ("any_resource", "related"):
        made = msgspec.convert({part: {"id": ["r.1"]}}, EventFilter)
        page = read_page(tx, made, interval(made, NOW), 2)
        assert [item.id for item in page.events] == [event(2).id, event(1).id]
        assert page.total == 2


def test_a_search_can_end_at_a_place_in_commit_order(tx: SqliteTx) -> None:
    events.insert(tx, [event(1), event(2)])
    seq = events.newest_seq(tx)
    events.insert(tx, [event(3)])
    everything = EventFilter(order="ASC")
    search = Search(tx, everything, interval(everything, NOW), seq)
    assert [item.id for _, item in search.page(10)] == [event(1).id, event(2).id]
    assert search.count() == 2


def test_without_times_a_filter_looks_back_180_days_from_midnight_until_now() -> None:
    times_ = interval(EventFilter(), NOW)
    assert (times_.since, times_.until) == ("2026-05-25T00:00:00.000000Z", NOW)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.999999Z"),
        ("2026-01-01T05:00:00+05:00", "2026-01-01T00:00:00.000000Z"),
    ],
)
def test_moments_at_the_edge_of_the_calendar_are_kept_inside(since: str, expected: str) -> None:
    made = msgspec.convert({"occurred": {"since": since}}, EventFilter)
    assert interval(made, NOW).since == expected


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a*", ["a", "ab\nc"], ["ba", "A"]),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("!a*", ["b", ""], ["a", "ab"]),
        ("a.c", ["a.c"], ["abc"]),
        ("[ab]", ["a", "b"], ["c", "[ab]"]),
    ],
)
def test_label_values_are_globs(pattern: str, matching: list[str], other: list[str]) -> None:
    like = glob(pattern)
    assert all(like(value) for value in matching)
    assert not any(like(value) for value in other)


@pytest.mark.parametrize(
    "filter_",
    [
        {"event": {"like": "x"}},
        {"resource": {"ids": []}},
        {"order": "SIDEWAYS"},
        {"text": {"query": "x" * 201}},
        {"related": [{"colour": "red"}]},
        {"unknown": 1},
    ],
)
def test_what_the_grammar_does_not_know_is_refused(filter_: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(filter_, EventFilter)
