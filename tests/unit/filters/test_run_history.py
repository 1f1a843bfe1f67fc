"""Histories, lateness and the counts of the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from conftest import insert

from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.errors import Invalid
from lictor.schema.filters.task_runs import TaskRunFilter
from lictor.schema.tables import dashboard, history
from lictor.schema.times import text
from lictor.schema.wire.history import HistoryState

START = datetime(2030, 1, 1, tzinfo=UTC)
NOW = START + timedelta(hours=10)
FLOW = "00000001-0000-7000-8000-000000000001"


def at(hours: float) -> str:
    return text(START + timedelta(hours=hours))


def run(tx: SqliteTx, n: int, state: str | None, **columns: Any) -> str:
    if not tx.one("SELECT 1 FROM flow"):
        insert(tx, "flow", {"id": FLOW, "name": "flow"})
    id_ = f"00000002-0000-7000-8000-{n:012d}"
    insert(tx, "flow_run", {
        "id": id_, "name": f"run-{n}", "flow_id": FLOW, "state_type": state,
        "state_name": state and state.title(), **columns,
    })  # fmt: skip
    return id_


def task(tx: SqliteTx, n: int, state: str, **columns: Any) -> str:
    id_ = f"00000003-0000-7000-8000-{n:012d}"
    insert(tx, "task_run", {
        "id": id_, "name": f"task-{n}", "state_type": state, "state_name": state.title(), **columns
    })  # fmt: skip
    return id_


def intervals(hours: float, seconds: float) -> history.Intervals:
    found = history.intervals(START, START + timedelta(hours=hours), seconds)
    assert found is not None
    return found


def test_runs_fall_into_the_interval_they_are_expected_in_to_the_microsecond(
    tx: SqliteTx,
) -> None:
    edge = START + timedelta(hours=1)
    run(tx, 1, "COMPLETED", expected_start_time=text(edge - timedelta(microseconds=1)))
    run(tx, 2, "COMPLETED", expected_start_time=text(edge))
    run(tx, 3, "COMPLETED", expected_start_time=text(START - timedelta(microseconds=1)))
    run(tx, 4, "COMPLETED", expected_start_time=at(2))
    run(tx, 5, "COMPLETED")
    found = history.flow_runs(tx, {}, intervals(2, 3600), NOW)
    assert [(one.interval_start, one.interval_end) for one in found] == [
        (at(0), at(1)),
        (at(1), at(2)),
    ]
    assert [[state.count_runs for state in one.states] for one in found] == [[1], [1]]


def test_a_history_sums_run_times_and_lateness_by_state(tx: SqliteTx) -> None:
    run(tx, 1, "COMPLETED", expected_start_time=at(1), start_time=at(1.5), total_run_time=60.0)
    run(tx, 2, "COMPLETED", expected_start_time=at(1), start_time=at(0.5), total_run_time=30.0)
    run(tx, 3, "RUNNING", expected_start_time=at(1), start_time=at(1), state_timestamp=at(9),
        total_run_time=5.0)  # fmt: skip
    run(tx, 4, "SCHEDULED", expected_start_time=at(8))
    run(tx, 5, "SCHEDULED", expected_start_time=at(11))
    run(tx, 6, "FAILED", expected_start_time=at(1))
    run(tx, 7, None, expected_start_time=at(9))
    (only,) = history.flow_runs(tx, {}, intervals(12, 12 * 3600), NOW)
    assert {state.state_type: state for state in only.states} == {
        "COMPLETED": HistoryState("COMPLETED", "Completed", 2, 90.0, 1800.0),
        "RUNNING": HistoryState("RUNNING", "Running", 1, 3605.0, 0.0),
        "SCHEDULED": HistoryState("SCHEDULED", "Scheduled", 2, 0.0, 7200.0),
        "FAILED": HistoryState("FAILED", "Failed", 1, 0.0, 0.0),
        None: HistoryState(None, None, 1, 0.0, 3600.0),
    }


def test_average_lateness_counts_the_punctual_and_is_null_for_none(tx: SqliteTx) -> None:
    assert history.average_lateness(tx, {}, NOW) is None
    run(tx, 1, "COMPLETED", expected_start_time=at(1), start_time=at(2))
    run(tx, 2, "COMPLETED", expected_start_time=at(1), start_time=at(1))
    assert history.average_lateness(tx, {}, NOW) == 1800.0


def test_a_history_has_whole_intervals_and_five_hundred_of_them_at_most() -> None:
    assert intervals(2.5, 3600).number == 3
    assert intervals(10_000, 1).number == 500
    assert history.intervals(START, START, 60) is None
    assert history.intervals(START, START - timedelta(hours=1), 60) is None
    assert intervals(1, 1e300).number == 1
    assert intervals(1, 1e300).edge(1) == "9999-12-31T23:59:59.999999Z"
    with pytest.raises(Invalid, match="must not be less than 1 second"):
        history.intervals(START, NOW, 0.5)


def outcomes(tx: SqliteTx, **start_time: str) -> list[Any]:
    asked = msgspec.convert({"start_time": start_time}, TaskRunFilter)
    window = dashboard.outcome_window(asked, NOW)
    return dashboard.outcome_counts(tx, {}, asked, window)


def test_outcomes_are_counted_in_twenty_buckets_of_start_time(tx: SqliteTx) -> None:
    task(tx, 1, "COMPLETED", start_time=at(0.1))
    task(tx, 2, "CANCELLED", start_time=at(0.1))
    task(tx, 3, "CRASHED", start_time=at(9.99))
    task(tx, 4, "FAILED", start_time=at(9.99))
    task(tx, 5, "RUNNING", start_time=at(5))
    task(tx, 6, "COMPLETED", start_time=at(11))
    found = outcomes(tx, after_=at(0))
    assert len(found) == 20
    assert (found[0].completed, found[0].failed) == (2, 0)
    assert (found[19].completed, found[19].failed) == (0, 2)
    assert sum(one.completed + one.failed for one in found) == 4
    assert sum(one.completed for one in outcomes(tx, after_=at(5), before_=at(4))) == 0


def test_outcomes_need_a_beginning() -> None:
    for body in ({}, {"start_time": {"before_": at(1)}}):
        with pytest.raises(Invalid, match="after_ is required"):
            dashboard.outcome_window(msgspec.convert(body, TaskRunFilter), NOW)


def test_task_runs_are_counted_by_state_and_every_type_is_there(tx: SqliteTx) -> None:
    task(tx, 1, "COMPLETED", tags=["x"])
    task(tx, 2, "COMPLETED")
    task(tx, 3, "FAILED")
    found = dashboard.task_runs_by_state(tx, {})
    assert len(found) == 9
    assert {key: n for key, n in found.items() if n} == {"COMPLETED": 2, "FAILED": 1}
    tagged = {"task_runs": msgspec.convert({"tags": {"all_": ["x"]}}, TaskRunFilter)}
    assert dashboard.task_runs_by_state(tx, tagged)["COMPLETED"] == 1


def test_task_runs_that_stand_for_sub_flows_are_not_counted(tx: SqliteTx) -> None:
    parent, empty = run(tx, 1, "RUNNING"), run(tx, 2, "RUNNING")
    task(tx, 1, "RUNNING", flow_run_id=parent)
    run(tx, 3, "RUNNING", parent_task_run_id=task(tx, 2, "RUNNING", flow_run_id=parent))
    assert dashboard.count_task_runs(tx, [parent, empty]) == {parent: 1, empty: 0}
    assert dashboard.count_task_runs(tx, []) == {}


def test_the_next_run_of_a_flow_is_its_earliest_scheduled_one(tx: SqliteTx) -> None:
    run(tx, 1, "SCHEDULED", next_scheduled_start_time=at(9))
    due = run(tx, 2, "SCHEDULED", next_scheduled_start_time=at(8))
    run(tx, 3, "PENDING", next_scheduled_start_time=at(1))
    run(tx, 4, "SCHEDULED")
    other = "00000001-0000-7000-8000-000000000009"
    found = dashboard.next_runs(tx, [FLOW, other])
    assert found[FLOW] is not None
    assert found[FLOW].id == due
    assert found[other] is None
    assert dashboard.next_runs(tx, []) == {}


def test_recent_runs_carry_their_start_or_the_expected_one(tx: SqliteTx) -> None:
    run(tx, 1, "COMPLETED", expected_start_time=at(1), start_time=at(2), total_run_time=7.0)
    run(tx, 2, "SCHEDULED", expected_start_time=at(4))
    found = dashboard.recent_flow_runs(tx, {}, "EXPECTED_START_TIME_DESC", 10, 0, NOW)
    assert [(one.timestamp, one.duration, one.lateness) for one in found] == [
        (at(4), 0.0, 6 * 3600.0),
        (at(2), 7.0, 3600.0),
    ]
