"""The hot queries on pools, queues and workers, and what they are served from."""

from __future__ import annotations

import pytest
from work_world import Work

from lictor.actors.work_statuses import DEPLOYMENT, WORK_QUEUE, WORKER
from lictor.schema.tables import flow_runs
from lictor.schema.tables.deadlines import Kind
from lictor.schema.tables.work_pools import ACTIVE_SLOTS


def plan(work: Work, sql: str) -> list[str]:
    return [row[3] for row in work.tx.all(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("kind", [WORKER, WORK_QUEUE, DEPLOYMENT])
def test_each_deadline_is_the_head_of_an_index(work: Work, kind: Kind) -> None:
    steps = plan(
        work,
        f"SELECT {kind.moment}, seq, id FROM {kind.table} WHERE {kind.where}"
        f" AND ({kind.moment}, seq) > ('', -1) ORDER BY {kind.moment}, seq LIMIT 1",
    )
    assert len(steps) == 1
    assert "USING" in steps[0]
    assert "INDEX" in steps[0]
    assert "SEARCH" in steps[0]


def test_the_slots_of_a_pool_are_counted_in_an_index_alone(work: Work) -> None:
    steps = plan(work, f"SELECT {ACTIVE_SLOTS} FROM work_pool wp WHERE wp.id = 'x'")
    assert any("r USING COVERING INDEX flow_run_by_work_queue" in step for step in steps)
    assert not any(step.startswith("SCAN") and "CONSTANT" not in step for step in steps)


def test_a_run_finds_its_queue_and_pool_by_their_keys(work: Work) -> None:
    steps = plan(work, f"SELECT {flow_runs.COLUMNS} FROM {flow_runs.FROM} WHERE fr.id = 'x'")
    assert all(step.startswith("SEARCH") for step in steps)


def test_the_scheduled_runs_of_a_queue_come_in_the_order_of_their_time(work: Work) -> None:
    steps = plan(
        work,
        "SELECT id FROM flow_run WHERE work_queue_id = 'x' AND state_type = 'SCHEDULED'"
        " ORDER BY next_scheduled_start_time LIMIT 10",
    )
    assert steps == [
        "SEARCH flow_run USING INDEX flow_run_by_work_queue (work_queue_id=? AND state_type=?)"
    ]
