"""Short ways to call the commands on runs in a transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transaction import Transaction, as_sent

from lictor.schema.commands import flow_runs, task_runs
from lictor.schema.wire.flow_runs import FlowRun, FlowRunCreate, OrchestrationResult
from lictor.schema.wire.states import SetState
from lictor.schema.wire.task_runs import TaskRun, TaskRunCreate


class World(Transaction):
    """A transaction whose flow has a tag and a label."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, tags='["of-flow"]', labels='{"from":"flow"}')

    def create_run(self, **body: Any) -> tuple[FlowRun, bool]:
        decoded = as_sent({"flow_id": self.flow_id, **body}, FlowRunCreate)
        return flow_runs.create(self.tx, decoded, None, self.mint, self.settings)

    def run(self, **body: Any) -> FlowRun:
        return self.create_run(**body)[0]

    def create_task(self, **body: Any) -> tuple[TaskRun, bool]:
        decoded = as_sent({"task_key": "key", "dynamic_key": "0", **body}, TaskRunCreate)
        return task_runs.create(self.tx, decoded, self.mint, self.settings)

    def task(self, **body: Any) -> TaskRun:
        return self.create_task(**body)[0]

    def set_state(
        self, id_: str, type_: str, *, force: bool = False, **state: Any
    ) -> OrchestrationResult:
        return self.propose(flow_runs.set_state, id_, type_, force=force, **state)[0]

    def set_task_state(
        self, id_: str, type_: str, *, force: bool = False, **state: Any
    ) -> OrchestrationResult:
        return self.propose(task_runs.set_state, id_, type_, force=force, **state)[0]

    def propose(
        self, command: Any, id_: str, type_: str, *, force: bool = False, **state: Any
    ) -> tuple[OrchestrationResult, bool]:
        body = as_sent({"state": {"type": type_, **state}, "force": force}, SetState)
        result: tuple[OrchestrationResult, bool] = command(
            self.tx, id_, body, self.mint, self.settings
        )
        return result

    def count(self, table: str, where: str = "1", *args: Any) -> int:
        row = self.tx.one(f"SELECT count(*) FROM {table} WHERE {where}", args)
        assert row is not None
        number: int = row[0]
        return number

    def history(self, run_id: str) -> list[str]:
        return [
            name
            for (name,) in self.tx.all(
                "SELECT name FROM flow_run_state WHERE flow_run_id = ? ORDER BY timestamp",
                (run_id,),
            )
        ]

    def events(self) -> list[Any]:
        return [item.event for item in self.tx.published if hasattr(item, "event")]
