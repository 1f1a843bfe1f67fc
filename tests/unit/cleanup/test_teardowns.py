"""What is left of a run whose cancellation nobody confirmed is torn down, if anybody can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest
from cleanup_world import TIMEOUT, World

from lictor.schema.commands import deadlines, flow_runs, work_queues
from lictor.schema.commands.deadlines import Clock
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.wire.flow_runs import FlowRunCreate
from lictor.schema.wire.states import SetState

TIMEOUT_S = 300.0


class Runs(World):
    """Also flow runs, that are stuck in CANCELLING."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.flow_id = self.mint.id()
        self.tx.run(
            "INSERT INTO flow (id, created, updated, name, tags, labels)"
            " VALUES (?, '', '', 'f', '[]', '{}')",
            (self.flow_id,),
        )

    def stuck(self, queue_id: str | None, pid: str | None = "host:1") -> str:
        """A run of this queue that does not end being cancelled; its id."""
        body = {"flow_id": self.flow_id, "state": {"type": "RUNNING"}}
        run, _ = flow_runs.create(
            self.tx, msgspec.convert(body, FlowRunCreate), None, self.mint, self.settings
        )
        self.tx.run(
            "UPDATE flow_run SET work_queue_id = ?, infrastructure_pid = ? WHERE id = ?",
            (queue_id, pid, run.id),
        )
        self.set(run.id, "CANCELLING")
        return run.id

    def set(self, run_id: str, type_: str) -> None:
        flow_runs.set_state(
            self.tx,
            run_id,
            msgspec.convert({"state": {"type": type_}, "force": True}, SetState),
            self.mint,
            self.settings,
        )

    def time_out(self, run_id: str) -> bool:
        # Two states of a run at one moment are made a microsecond apart.
        self.now_s += TIMEOUT_S + 1
        return deadlines.end_cancelling(self.tx, run_id, Clock(self.mint, self.settings))

    def messages(self) -> list[tuple[Any, ...]]:
        return self.tx.all(
            "SELECT id, idempotency_key, work_pool_id, work_queue_id, kind, target"
            " FROM cleanup_message"
        )

    def state_of(self, run_id: str) -> tuple[Any, ...]:
        row = self.tx.one("SELECT state_type, state_id FROM flow_run WHERE id = ?", (run_id,))
        assert row is not None
        return row


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path / "lictor.db")
    yield runs
    runs.close()


@pytest.mark.parametrize("pid", ["host:1", None])
def test_a_run_that_timed_out_is_torn_down_by_a_worker_of_its_pool(
    runs: Runs, pid: str | None
) -> None:
    run_id = runs.stuck(runs.queue_id, pid)
    assert runs.time_out(run_id) is True
    state_type, state_id = runs.state_of(run_id)
    assert state_type == "CANCELLED"
    key = f"cancelling_timeout_teardown.v1:{run_id}:{state_id}"
    ((id_, stored_key, *place, kind, target),) = runs.messages()
    assert (id_, stored_key) == (str(uuid5(NAMESPACE_URL, f"prefect:{key}")), key)
    assert place == [runs.pool.id, runs.queue_id]
    assert kind == TIMEOUT
    assert msgspec.json.decode(target) == {"flow_run_id": run_id, "infrastructure_pid": pid}


def test_a_run_that_is_not_declared_cancelled_is_not_torn_down(runs: Runs) -> None:
    early, done = runs.stuck(runs.queue_id), runs.stuck(runs.queue_id)
    runs.set(done, "COMPLETED")
    assert runs.time_out(done) is False
    runs.set(early, "CANCELLING")
    runs.now_s -= 2
    assert runs.time_out(early) is False
    assert runs.messages() == []


@pytest.mark.parametrize("type_", ["docker:push", "prefect:managed"])
def test_a_pool_without_workers_is_sent_nothing(runs: Runs, type_: str) -> None:
    pool = runs.add_pool("pushed", type_)
    run_id = runs.stuck(pool.default_queue_id)
    assert runs.time_out(run_id) is True
    assert runs.messages() == []


def test_a_run_without_a_queue_is_cancelled_all_the_same(runs: Runs) -> None:
    alone, orphan = runs.stuck(None), runs.stuck(runs.queue_id)
    queue = queue_table.read(runs.tx, runs.queue_id)
    assert queue is not None
    work_queues.delete(runs.tx, queue, runs.mint)
    for run_id in (alone, orphan):
        assert runs.time_out(run_id) is True
        assert runs.state_of(run_id)[0] == "CANCELLED"
    assert runs.messages() == []


def test_a_run_that_is_cancelled_twice_is_torn_down_twice(runs: Runs) -> None:
    run_id = runs.stuck(runs.queue_id)
    runs.time_out(run_id)
    assert runs.time_out(run_id) is False
    runs.set(run_id, "CANCELLING")
    runs.time_out(run_id)
    assert len(runs.messages()) == 2
