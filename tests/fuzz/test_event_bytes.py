"""Whatever is sent as an event, it is refused or stored: nothing else comes of it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lictor.schema.backends.sqlite import SqliteTx, open_writer
from lictor.schema.commands.record_events import store
from lictor.schema.errors import BadRequest, InvalidRequest
from lictor.schema.events.event import Event, EventBody, Limits, StoredEvent, fault, from_body
from lictor.schema.mint import Mint
from lictor.schema.tables import events
from lictor.schema.wire.decode import BodyDecoder

NOW = "2026-11-21T12:00:00.000000Z"
RUN = str(UUID(int=2))
decode: BodyDecoder[EventBody] = BodyDecoder(EventBody)

REPORT: dict[str, Any] = {
    "occurred": NOW,
    "event": "prefect.task-run.Running",
    "resource": {
        "prefect.resource.id": f"prefect.task-run.{UUID(int=3)}",
        "prefect.orchestration": "client",
    },
    "related": [
        {
            "prefect.resource.id": f"prefect.flow-run.{RUN}",
            "prefect.resource.role": "flow-run",
        }
    ],
    "payload": {
        "validated_state": {
            "type": "RUNNING", "name": "Running", "message": None, "data": {"a": 1},
            "state_details": {"cache_key": "k"},
        },
        "task_run": {
            "task_key": "k", "dynamic_key": "0", "name": "n", "tags": ["t"], "labels": {"l": 1},
            "task_inputs": {"x": [{"input_type": "parameter", "name": "p"}]}, "run_count": 1,
            "start_time": NOW, "total_run_time": 0.5, "empirical_policy": {"retries": 1},
        },
    },
    "id": str(UUID(int=4)),
    "follows": None,
}  # fmt: skip


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[SqliteTx]:
    connection = open_writer(tmp_path / "lictor.db", synchronous="OFF")
    connection.execute("BEGIN IMMEDIATE")
    made = SqliteTx(connection)
    made.run(
        "INSERT INTO flow (id, created, updated, name, tags, labels)"
        " VALUES (?, '', '', '', '', '')",
        (RUN,),
    )
    made.run(
        "INSERT INTO flow_run (id, created, updated, name, flow_id, parameters, context,"
        " empirical_policy, tags, labels) VALUES (?, '', '', 'r', ?, '{}', '{}', '{}', '[]', '{}')",
        (RUN, RUN),
    )
    yield made
    connection.execute("ROLLBACK")
    connection.close()


def taken(raw: bytes) -> Event | None:
    """The event in `raw`; None when it is refused."""
    try:
        body = decode(raw)
        return None if fault(body, Limits()) is not None else from_body(body, NOW)
    except (InvalidRequest, BadRequest, OverflowError):
        return None


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [NOW, RUN, "0001-01-01T00:00:00+14:00", "\x00", "COMPLETED", "prefect.flow-run.x"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["type", "artifact_key"]), inner)
    ),
    max_leaves=6,
)


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(list(paths(REPORT))[1:]), ANYTHING), min_size=1, max_size=3
    )
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
def test_a_report_with_anything_in_any_place_is_refused_or_stored_whole(
    tx: SqliteTx, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    report = copy.deepcopy(REPORT)
    for path, value in changes:
        target: Any = report
        try:
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue
    event = taken(msgspec.json.encode(report))
    if event is None:
        return
    tx.run("SAVEPOINT example")
    stored = store(tx, [event], Mint(random=random.Random(1)))
    read = events.read_after(tx, 0, 10)
    tx.run("ROLLBACK TO example")
    assert [item.event for item in stored] == [item.event for item in read] == [event]
    assert msgspec.json.decode(StoredEvent(1, event).json, type=Event) == event


@given(raw=st.binary(max_size=200))
def test_bytes_that_are_no_event_are_refused(raw: bytes) -> None:
    assert taken(raw) is None


@given(cut=st.integers(0, 1000), junk=st.binary(max_size=4))
def test_a_damaged_report_is_refused_or_still_an_event(cut: int, junk: bytes) -> None:
    raw = msgspec.json.encode(REPORT)
    at = cut % len(raw)
    event = taken(raw[:at] + junk + raw[at + len(junk) :])
    assert event is None or event.resource_id
