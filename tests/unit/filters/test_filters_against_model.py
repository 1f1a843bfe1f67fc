"""Random filters over random rows: the SQL finds what a plain-Python reading of the rules finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import apsw
import msgspec
import run_strategies
from conftest import fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_model import Model

from lictor.actors.ingress.api.paging import filters_of
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.filters.sorts import FLOW_ORDER, FLOW_RUN_ORDER, TASK_RUN_ORDER
from lictor.schema.tables import flow_run_paths, search
from lictor.schema.wire.filters import FlowFilters, FlowRunFilters, RunFilters

NOW = datetime(2030, 1, 2, tzinfo=UTC)
PAGES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
small = st.sampled_from((0, 2, 1000))
limits, offsets = st.integers(0, 9), st.integers(0, 4)


@contextmanager
def filled(connection: apsw.Connection, rows: Any) -> Iterator[SqliteTx]:
    connection.execute("BEGIN")
    try:
        tx = SqliteTx(connection)
        fill(tx, *rows)
        yield tx
    finally:
        connection.execute("ROLLBACK")


def decoded(body: dict[str, Any], type_: Any) -> Any:
    return filters_of(msgspec.convert(body, type_))


def by(key: Any, *, descending: bool = False) -> Any:
    """Rows in the order of `key`, nulls first when ascending, ties by insertion."""

    def order(rows: list[dict[str, Any]]) -> list[str]:
        keyed = [((key(row) is not None, key(row) or ""), n, row) for n, row in enumerate(rows)]
        keyed.sort(key=lambda item: item[:2], reverse=descending)
        return [row["id"] for _, _, row in keyed]

    return order


def column(name: str) -> Any:
    return lambda row: row[name]


ORDERS = {
    "ID_DESC": by(column("id"), descending=True),
    "START_TIME_ASC": by(lambda row: row["start_time"] or row["expected_start_time"]),
    "START_TIME_DESC": by(
        lambda row: row["start_time"] or row["expected_start_time"], descending=True
    ),
    "EXPECTED_START_TIME_ASC": by(column("expected_start_time")),
    "EXPECTED_START_TIME_DESC": by(column("expected_start_time"), descending=True),
    "NAME_ASC": by(lambda row: row["name"].encode()),
    "NAME_DESC": by(lambda row: row["name"].encode(), descending=True),
    "NEXT_SCHEDULED_START_TIME_ASC": by(column("next_scheduled_start_time")),
    "END_TIME_DESC": by(column("end_time"), descending=True),
}


@PAGES
@given(
    rows=run_strategies.rows(), body=run_strategies.BODIES, small=small,
    sort=st.sampled_from(sorted(FLOW_RUN_ORDER)), limit=limits, offset=offsets,
)  # fmt: skip
def test_flow_runs_are_found_and_ordered_as_the_rules_say(
    connection: apsw.Connection,
    rows: Any,
    body: Any,
    small: int,
    sort: Any,
    limit: int,
    offset: int,
) -> None:
    expected = ORDERS[sort](Model(*rows).flow_runs_that_match(body))
    asked = decoded(body, FlowRunFilters)
    with filled(connection, rows) as tx, mock.patch.object(flow_run_paths, "SMALL", small):
        found = search.flow_runs(tx, asked, sort, limit, offset, NOW)
        assert [run.id for run in found] == expected[offset:][:limit]
        assert search.count_flow_runs(tx, asked) == len(expected)


@PAGES
@given(
    rows=run_strategies.rows(), body=run_strategies.BODIES,
    sort=st.sampled_from(sorted(set(TASK_RUN_ORDER) & set(ORDERS))), limit=limits, offset=offsets,
)  # fmt: skip
def test_task_runs_are_found_and_ordered_as_the_rules_say(
    connection: apsw.Connection, rows: Any, body: Any, sort: Any, limit: int, offset: int
) -> None:
    expected = ORDERS[sort](Model(*rows).task_runs_that_match(body))
    asked = decoded(body, RunFilters)
    with filled(connection, rows) as tx:
        found = search.task_runs(tx, asked, sort, limit, offset, NOW)
        assert [run.id for run in found] == expected[offset:][:limit]
        assert search.count_task_runs(tx, asked) == len(expected)


@PAGES
@given(
    rows=run_strategies.rows(), body=run_strategies.BODIES, sort=st.sampled_from(("NAME_ASC",))
)
def test_flows_are_found_and_ordered_as_the_rules_say(
    connection: apsw.Connection, rows: Any, body: Any, sort: Any
) -> None:
    assert sort in FLOW_ORDER
    expected = ORDERS[sort](Model(*rows).flows_that_match(body))
    asked = decoded(body, FlowFilters)
    with filled(connection, rows) as tx:
        assert [flow.id for flow in search.flows(tx, asked, sort, 200, 0)] == expected
        assert search.count_flows(tx, asked) == len(expected)
