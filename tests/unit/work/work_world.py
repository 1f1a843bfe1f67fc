"""Short ways to call the commands on pools, queues and workers in a transaction."""

from __future__ import annotations

from typing import Any

from transaction import Transaction, as_sent

from lictor.schema.commands import flow_runs, work_pools, work_queues, workers
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.tables import workers as worker_table
from lictor.schema.wire.flow_runs import FlowRun, FlowRunCreate
from lictor.schema.wire.work_pools import WorkPool, WorkPoolCreate, WorkPoolUpdate
from lictor.schema.wire.work_queues import WorkQueue, WorkQueueCreate, WorkQueueUpdate
from lictor.schema.wire.workers import Heartbeat, Worker


class Work(Transaction):
    """A transaction with the commands on work."""

    def pool(self, name: str = "pool", type_: str = "process", **body: Any) -> WorkPool:
        decoded = as_sent({"name": name, "type": type_, **body}, WorkPoolCreate)
        return work_pools.create(self.tx, decoded, self.mint, tells_status=True)

    def update_pool(self, name: str = "pool", **body: Any) -> None:
        work_pools.update(self.tx, name, as_sent(body, WorkPoolUpdate), self.mint)

    def pool_status(self, name: str = "pool") -> str | None:
        return work_pools.find(self.tx, name).status

    def queue(self, name: str, pool: str = "pool", **body: Any) -> WorkQueue:
        decoded = as_sent({"name": name, **body}, WorkQueueCreate)
        return work_pools.create_queue(self.tx, pool, decoded, self.mint)

    def find_queue(self, name: str | None = None, pool: str = "pool") -> WorkQueue:
        return work_queues.find(self.tx, pool, name)

    def update_queue(self, name: str, /, **body: Any) -> None:
        queue, decoded = self.find_queue(name), as_sent(body, WorkQueueUpdate)
        work_queues.update(self.tx, queue, decoded, self.mint, self.settings)

    def delete_queue(self, name: str) -> None:
        work_queues.delete(self.tx, self.find_queue(name), self.mint)

    def poll(self, name: str) -> None:
        work_queues.mark_polled(self.tx, [self.find_queue(name).id], self.mint)

    def unpoll(self, name: str) -> bool:
        id_ = self.find_queue(name).id
        return work_queues.mark_unpolled(self.tx, id_, self.mint, self.settings)

    def order(self, pool: str = "pool") -> list[tuple[str, int]]:
        id_ = work_pools.find(self.tx, pool).id
        page = queue_table.read_pool_page(self.tx, id_, None, 100, 0)
        return [(queue.name, queue.priority) for queue in page]

    def beat(self, name: str = "worker", interval_s: int | None = None, pool: str = "pool") -> None:
        body = Heartbeat(name=name, heartbeat_interval_seconds=interval_s)
        workers.beat(self.tx, pool, body, self.mint, self.settings)

    def silence(self, name: str = "worker") -> bool:
        row = self.tx.one("SELECT id FROM worker WHERE name = ?", (name,))
        assert row is not None
        return workers.mark_silent(self.tx, row[0], self.mint)

    def workers(self, pool: str = "pool") -> list[Worker]:
        id_ = work_pools.find(self.tx, pool).id
        return worker_table.read_page(self.tx, id_, None, 100, 0, self.mint.now())

    def run(self, **body: Any) -> FlowRun:
        decoded = as_sent({"flow_id": self.flow_id, **body}, FlowRunCreate)
        return flow_runs.create(self.tx, decoded, None, self.mint, self.settings)[0]

    def events(self) -> list[Any]:
        """The events stored since the last time they were asked for."""
        found = [item.event for item in self.tx.published if hasattr(item, "event")]
        self.tx.published.clear()
        return found
