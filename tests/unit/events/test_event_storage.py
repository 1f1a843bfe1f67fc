"""Events in the tables: what goes in comes out, once, in order, by indexes."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lictor.schema import times
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.events import codec
from lictor.schema.events.event import Event, StoredEvent
from lictor.schema.events.filters import EventFilter, interval
from lictor.schema.tables import events
from lictor.schema.tables.event_search import Search

NOW = "2026-11-21T12:00:00.000000Z"


def event(number: int, **changes: Any) -> Event:
    """An event of its own id; later ones occurred later."""
    made = Event(
        occurred=times.shift(NOW, number),
        event="thing.happened",
        resource={"prefect.resource.id": "thing.1", "prefect.resource.name": "a thing"},
        related=[{"prefect.resource.id": "boss.1", "prefect.resource.role": "boss"}],
        payload={"n": number},
        id=str(UUID(int=number + 1)),
        follows=None,
        received=NOW,
    )
    return msgspec.structs.replace(made, **changes)


texts = st.text(max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
labels = st.dictionaries(texts, texts, max_size=4)
moments = st.datetimes().map(times.text)
ids = st.uuids().map(str)


@st.composite
def any_events(draw: st.DrawFn) -> Event:
    id_ = draw(st.text(min_size=1, max_size=30))
    related = draw(st.lists(st.tuples(labels, texts.filter(bool), texts.filter(bool)), max_size=3))
    return Event(
        occurred=draw(moments),
        event=draw(texts),
        resource={**draw(labels), "prefect.resource.id": id_},
        related=[
            {**own, "prefect.resource.id": of, "prefect.resource.role": role}
            for own, of, role in related
        ],
        payload=draw(st.dictionaries(texts, json_values, max_size=4)),
        id=draw(ids),
        follows=draw(st.none() | ids),
        received=draw(moments),
    )


@given(batch=st.lists(any_events(), max_size=6, unique_by=lambda item: item.id))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_events_come_back_as_they_were_stored(tx: SqliteTx, batch: list[Event]) -> None:
    tx.run("SAVEPOINT example")
    before = events.newest_seq(tx)
    stored = events.insert(tx, batch)
    read = events.read_after(tx, before, 100)
    tx.run("ROLLBACK TO example")
    assert [item.event for item in read] == batch
    assert [item.seq for item in read] == [item.seq for item in stored]


def test_the_first_of_two_events_with_one_id_wins_wherever_they_meet(tx: SqliteTx) -> None:
    first, second = event(1), event(1, event="other", resource={"prefect.resource.id": "x"})
    assert [item.event for item in events.insert(tx, [first, second])] == [first]
    assert events.insert(tx, [second]) == []
    assert [item.event for item in events.read_after(tx, 0, 10)] == [first]
    assert tx.all("SELECT count(*) FROM event_involved") == [(2,)]


def test_only_new_events_are_published_and_in_their_order(tx: SqliteTx) -> None:
    events.insert(tx, [event(1)])
    events.insert(tx, [event(2), event(1), event(3)])
    published = [item for item in tx.published if isinstance(item, StoredEvent)]
    assert [item.event for item in published] == [event(1), event(2), event(3)]
    assert [item.seq for item in published] == sorted(item.seq for item in published)


def test_the_json_of_a_stored_event_is_built_once() -> None:
    stored = StoredEvent(1, event(1))
    assert msgspec.json.decode(stored.json, type=Event) == event(1)
    assert stored.json is stored.json


def test_an_event_may_name_one_resource_several_times(tx: SqliteTx) -> None:
    boss = {"prefect.resource.id": "thing.1", "prefect.resource.role": "boss"}
    aide = {"prefect.resource.id": "thing.1", "prefect.resource.role": "aide"}
    made = event(1, related=[boss, aide])
    events.insert(tx, [made])
    assert events.read_after(tx, 0, 10)[0].event == made


def test_an_event_is_found_by_its_id(tx: SqliteTx) -> None:
    events.insert(tx, [event(1), event(2)])
    found = events.read(tx, event(2).id)
    assert found is not None
    assert found.event == event(2)
    assert events.read(tx, str(UUID(int=99))) is None


def test_what_events_of_a_run_repeat_is_stored_once(tx: SqliteTx) -> None:
    events.insert(tx, [event(number) for number in range(50)])
    events.insert(tx, [event(number) for number in range(50, 60)])
    for table, rows in (("event_name", 1), ("event_resource", 2), ("event_related", 1)):
        assert tx.all(f"SELECT count(*) FROM {table}") == [(rows,)]


def test_sequence_numbers_are_never_given_twice(tx: SqliteTx) -> None:
    [stored] = events.insert(tx, [event(1)])
    assert events.delete_expired(tx, times.shift(NOW, 60), 10) == 1
    assert events.newest_seq(tx) == 0
    [later] = events.insert(tx, [event(2)])
    assert later.seq > stored.seq


def test_expired_events_leave_nothing_behind_that_others_do_not_need(tx: SqliteTx) -> None:
    lone = {"prefect.resource.id": "lone.1"}
    old = [event(1, resource=lone), event(2, related=[{**lone, "prefect.resource.role": "r"}])]
    kept = event(100)
    events.insert(tx, [*old, kept])
    assert events.delete_expired(tx, times.shift(NOW, 50), 1) == 1
    assert events.delete_expired(tx, times.shift(NOW, 50), 10) == 1
    assert events.delete_expired(tx, times.shift(NOW, 50), 10) == 0
    assert [item.event for item in events.read_after(tx, 0, 10)] == [kept]
    assert tx.all("SELECT id FROM event_resource ORDER BY id") == [("boss.1",), ("thing.1",)]
    assert tx.all("SELECT count(*) FROM event_related") == [(1,)]
    assert tx.all("SELECT count(*) FROM event_involved") == [(2,)]


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 5000])
def test_bodies_of_every_size_unpack_to_what_was_packed(size: int) -> None:
    text = random.Random(size).randbytes(size)
    assert codec.unpack(codec.pack(text)) == text


def test_a_usual_body_is_stored_in_a_fraction_of_its_size() -> None:
    text = (
        b'[{"prefect.resource.name":"work-1","prefect.run-count":"1",'
        b'"prefect.state-name":"Running","prefect.state-type":"RUNNING",'
        b'"prefect.orchestration":"client"},{"intended":{"from":'
        b'"PENDING","to":"RUNNING"},"task_run":{"task_key":"work","dynamic_key":"1","tags":[]}}]'
    )
    assert len(codec.pack(text)) < len(text) / 3


def test_a_body_of_an_unknown_format_is_refused() -> None:
    with pytest.raises(codec.CorruptBody, match="unknown format"):
        codec.unpack(b"\x7fabc")


def test_the_dictionary_of_the_first_format_has_not_changed() -> None:
    packed = bytes.fromhex(FIRST_FORMAT)
    assert codec.unpack(packed).startswith(b'[{"prefect.resource.name":"work-1"')


FIRST_FORMAT = "01c3938dca41152b72a6c19f99d0d2596d2c00"


@pytest.mark.parametrize(
    "stamp",
    [
        "0001-01-01T00:00:00.000000Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-11-21T11:48:34.123456Z",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_moments_are_packed_to_the_microsecond(stamp: str) -> None:
    assert codec.unpack_moment(codec.pack_moment(stamp)) == stamp


def plan(tx: SqliteTx, filter_: dict[str, Any]) -> str:
    made = msgspec.convert(filter_, EventFilter)
    sql, args = Search(tx, made, interval(made, NOW)).rows_sql(None, 50)
    return "\n".join(row[3] for row in tx.all(f"EXPLAIN QUERY PLAN {sql}", args))


@pytest.mark.parametrize(
    "filter_",
    [
        {"resource": {"id": ["thing.1"]}},
        {"any_resource": {"id": ["boss.1"]}},
        {"related": {"id": ["boss.1"]}},
        {"related": {"id": ["boss.1"]}, "event": {"prefix": ["thing."]}},
    ],
)
def test_events_of_a_resource_are_read_newest_first_from_its_index(
    tx: SqliteTx, filter_: dict[str, Any]
) -> None:
    events.insert(tx, [event(1)])
    steps = plan(tx, filter_)
    assert "SEARCH v USING PRIMARY KEY (resource=? AND occurred>? AND occurred<?)" in steps
    assert "SCAN e" not in steps
    # The page is sorted as it goes out; what it is cut from must not be.
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") == 1
    assert steps.endswith("USE TEMP B-TREE FOR ORDER BY")


def test_the_feed_is_read_from_the_index_by_time(tx: SqliteTx) -> None:
    for filter_ in (
        {},
        {"event": {"name": ["thing.happened"]}},
        {"resource": {"id_prefix": ["t"]}},
    ):
        steps = plan(tx, filter_)
        assert "COVERING INDEX event_by_occurred (occurred>? AND occurred<?)" in steps
        assert "SCAN e" not in steps


def test_id_prefixes_are_ranges_of_the_index(tx: SqliteTx) -> None:
    steps = plan(tx, {"any_resource": {"id_prefix": ["thing."]}})
    assert (
        "SEARCH r USING COVERING INDEX sqlite_autoindex_event_resource_1 (id>? AND id<?)" in steps
    )
    assert "SEARCH v USING PRIMARY KEY (resource=? AND occurred>? AND occurred<?)" in steps
