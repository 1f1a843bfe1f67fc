"""Deadlines are read from the heads of indexes, in order, without sorting or scanning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.tables import deadlines
from lictor.schema.tables.deadlines import Kind, Place


class Explaining(SqliteTx):
    """Notes the plan of every statement it runs."""

    steps: list[str]

    def all(self, sql: str, args: Any = ()) -> list[Any]:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", args).fetchall()
        self.steps = [step[3] for step in plan]
        return super().all(sql, args)

    def one(self, sql: str, args: Any = ()) -> Any:
        rows = self.all(sql, args)
        return rows[0] if rows else None


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Explaining]:
    connection = sqlite.open_writer(tmp_path / "lictor.db", synchronous="OFF")
    yield Explaining(connection)
    connection.close()


KINDS = [
    (deadlines.LATE, "flow_run_by_lateness"),
    (deadlines.PENDING, "flow_run_by_pending"),
    (deadlines.CANCELLING, "flow_run_by_cancelling"),
    (deadlines.PAUSED, "flow_run_pause_by_expiry"),
    (deadlines.CLEANUP, "flow_run_cleanup_by_due"),
]


@pytest.mark.parametrize(("kind", "index"), KINDS)
def test_a_deadline_is_the_head_of_its_index(tx: Explaining, kind: Kind, index: str) -> None:
    kind.first_after(tx, None)
    assert len(tx.steps) == 1, tx.steps
    assert f"INDEX {index} " in tx.steps[0], tx.steps
    assert tx.steps[0].startswith("SEARCH"), tx.steps
    kind.until(tx, "2030-01-01T00:00:00.000000Z", Place("2029", 1, "x"), 25)
    assert len(tx.steps) == 1, tx.steps
    assert f"INDEX {index} " in tx.steps[0], tx.steps


def test_what_hangs_on_a_run_is_found_by_its_id(tx: Explaining) -> None:
    deadlines.unfinished_task_runs(tx, "x", 10)
    assert ["task_run_by_natural_key (flow_run_id=?" in step for step in tx.steps] == [True]
    deadlines.unfinished_subflows(tx, "x", 10)
    assert "task_run_by_natural_key (flow_run_id=?" in tx.steps[0], tx.steps
    assert "flow_run_by_parent (parent_task_run_id=?" in tx.steps[1], tx.steps


def test_the_heartbeats_of_a_run_are_found_by_its_resource(tx: Explaining) -> None:
    deadlines.last_beats(tx, "x", "01900000-0000-7000-8000-000000000001")
    assert any("SEARCH i USING PRIMARY KEY (resource=?" in step for step in tx.steps), tx.steps
    assert not any("TEMP B-TREE" in step for step in tx.steps), tx.steps
    deadlines.has_beaten_after(tx, "x", 5)
    assert any("SEARCH i USING PRIMARY KEY (resource=?" in step for step in tx.steps), tx.steps
    deadlines.running_ids(tx, "x", 5)
    assert not any("SCAN" in step for step in tx.steps), tx.steps


def test_no_deadline_of_lictors_own_is_short() -> None:
    settings = Settings()
    assert settings.pending_timeout_s >= 7 * 86_400
    assert settings.heartbeat_timeout_s >= 10 * 180
