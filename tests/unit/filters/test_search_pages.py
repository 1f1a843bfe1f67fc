"""Pages over equal keys: stable, without gaps, whichever way the rows are found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
import pytest
from conftest import insert

from lictor.actors.ingress.api.paging import filters_of
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.tables import flow_run_paths, search
from lictor.schema.wire.filters import FlowRunFilters

NOW = datetime(2030, 1, 2, tzinfo=UTC)
SAME = "2030-01-01T00:00:00.000000Z"
FLOWS = [f"00000001-0000-7000-8000-00000000000{n}" for n in range(2)]
STATES = ("COMPLETED", "FAILED", None)
TYPES = {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}


@pytest.fixture
def runs(tx: SqliteTx) -> list[dict[str, Any]]:
    rows = []
    for n, flow_id in enumerate(FLOWS):
        insert(tx, "flow", {"id": flow_id, "name": f"flow-{n}"})
    for n in range(12):
        state = STATES[n % 3]
        row = {
            "id": f"00000002-0000-7000-8000-{n:012d}", "name": "run", "flow_id": FLOWS[n % 2],
            "expected_start_time": SAME, "state_type": state, "state_name": state,
        }  # fmt: skip
        insert(tx, "flow_run", row)
        rows.append(row)
    return rows


@pytest.mark.parametrize("small", [0, 1000])
@pytest.mark.parametrize(
    "body",
    [{}, {"flow_runs": TYPES}, {"flows": {"id": {"any_": FLOWS}}},
     {"flows": {"id": {"any_": FLOWS}}, "flow_runs": TYPES}],
)  # fmt: skip
@pytest.mark.parametrize(
    "sort",
    ["START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC",
     "NAME_ASC", "NAME_DESC", "END_TIME_DESC", "ID_DESC"],
)  # fmt: skip
def test_runs_with_equal_keys_come_in_the_order_they_were_made(
    tx: SqliteTx, runs: list[dict[str, Any]], small: int, body: Any, sort: Any
) -> None:
    expected = [run["id"] for run in runs if "flow_runs" not in body or run["state_type"]]
    if sort.endswith("DESC"):
        expected.reverse()
    filters = filters_of(msgspec.convert(body, FlowRunFilters))
    found = []
    with mock.patch.object(flow_run_paths, "SMALL", small):
        for offset in range(0, 15, 3):
            found += [run.id for run in search.flow_runs(tx, filters, sort, 3, offset, NOW)]
    assert found == expected
