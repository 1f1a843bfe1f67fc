"""Queues asked for without their pool: which runs they hand out, and who takes their slots."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from work_world import Work, as_sent

from lictor.schema.commands import work_pools, work_queues
from lictor.schema.tables import agent_queues, polls
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.tables.polls import Window
from lictor.schema.times import parse
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.work_queues import (
    FILTER_VALUES_MAX,
    WorkQueue,
    WorkQueueCreate,
    WorkQueueUpdate,
)


def make(work: Work, name: str = "q", **body: Any) -> WorkQueue:
    decoded = as_sent({"name": name, **body}, WorkQueueCreate)
    return work_pools.create_queue_without_pool(work.tx, decoded, work.mint)


def found(work: Work, queue: WorkQueue) -> WorkQueue:
    read = queue_table.read(work.tx, queue.id, "alone")
    assert read is not None
    return read


def limit(work: Work, queue: WorkQueue, slots: int) -> None:
    body = WorkQueueUpdate(concurrency_limit=slots)
    work_queues.update(work.tx, found(work, queue), body, work.mint, work.settings)


def scheduled(work: Work, name: str, day: int, **body: Any) -> FlowRun:
    details = {"scheduled_time": f"2036-05-{day:02}T00:00:00Z"}
    return work.run(name=name, state={"type": "SCHEDULED", "state_details": details}, **body)


def deployed(work: Work, deployment_id: str, run: FlowRun) -> None:
    work.tx.run("UPDATE flow_run SET deployment_id = ? WHERE id = ?", (deployment_id, run.id))


def handed(work: Work, queue: WorkQueue, limit: int = 10) -> list[str]:
    window = Window(limit)
    polled = agent_queues.read(work.tx, queue.id, window)
    assert polled is not None
    rows = polls.choose([polled], None, window.limit)
    return [run.name for run in polls.read_rows(work.tx, rows, parse(work.mint.now()))]


def test_a_queue_of_agents_holds_the_runs_that_know_its_name_alone(work: Work) -> None:
    queue = make(work)
    work.pool()
    elsewhere = work.queue("q")
    scheduled(work, "named", 3, work_queue_name="q")
    scheduled(work, "own", 2, work_pool_name="default-agent-pool", work_queue_name="q")
    scheduled(work, "theirs", 1, work_pool_name="pool", work_queue_name="q")
    assert handed(work, queue) == ["own", "named"]
    assert handed(work, queue, 1) == ["own"]
    assert handed(work, elsewhere) == ["theirs"]


def test_runs_that_know_a_name_alone_take_slots_of_its_queue(work: Work) -> None:
    queue = make(work)
    scheduled(work, "waits", 1, work_queue_name="q")
    running = work.run(name="runs", work_queue_name="q", state={"type": "RUNNING"})
    limit(work, queue, 1)
    assert handed(work, queue) == []
    limit(work, queue, 2)
    assert handed(work, queue) == ["waits"]
    assert agent_queues.count_slot_holders(work.tx, found(work, queue)) == 1
    (holder,) = agent_queues.slot_holders(
        work.tx, found(work, queue), 10, 0, parse(work.mint.now())
    )
    assert (holder.id, holder.state_type) == (running.id, "RUNNING")


@pytest.mark.parametrize("pool_goes", [False, True])
def test_runs_of_a_queue_of_agents_wait_for_one_of_its_name(work: Work, pool_goes: bool) -> None:
    queue = make(work)
    scheduled(work, "own", 1, work_pool_name="default-agent-pool", work_queue_name="q")
    if pool_goes:
        work_pools.delete(work.tx, "default-agent-pool", work.mint)
    else:
        work_queues.delete(work.tx, found(work, queue), work.mint)
    assert agent_queues.read(work.tx, queue.id, Window(10)) is None
    assert handed(work, make(work)) == ["own"]


def test_a_filter_chooses_runs_of_deployments_whatever_their_queue(work: Work) -> None:
    one, other = work.mint.id(), work.mint.id()
    deployed(work, one, scheduled(work, "red", 3, tags=["red"]))
    deployed(work, other, scheduled(work, "both", 2, tags=["red", "blue"], work_queue_name="x"))
    scheduled(work, "no-deployment", 1, tags=["red", "blue"])
    assert handed(work, make(work, "a", filter={"tags": ["red"]})) == ["both", "red"]
    assert handed(work, make(work, "b", filter={"tags": ["red", "blue"]})) == ["both"]
    assert handed(work, make(work, "c", filter={"deployment_ids": [one]})) == ["red"]
    none = {"tags": ["blue"], "deployment_ids": [one]}
    assert handed(work, make(work, "d", filter=none)) == []
    assert handed(work, make(work, "e", filter={"tags": ["red"]}, is_paused=True)) == []


def test_a_filter_that_was_stored_without_a_bound_still_chooses(work: Work) -> None:
    flow_run = scheduled(work, "chosen", 1)
    deployment = str(UUID(int=FILTER_VALUES_MAX))
    deployed(work, deployment, flow_run)
    queue = make(work, filter={"tags": []}, concurrency_limit=1)
    long = {"deployment_ids": [str(UUID(int=n)) for n in range(FILTER_VALUES_MAX + 1)]}
    text = msgspec.json.encode(long).decode()
    work.tx.run("UPDATE work_queue SET filter = ? WHERE id = ?", (text, queue.id))
    assert handed(work, queue) == ["chosen"]
    assert agent_queues.with_slots(work.tx, found(work, queue)).active_slots == 0


def test_a_filter_says_whose_the_slots_of_a_queue_are(work: Work) -> None:
    deployment_id = work.mint.id()
    queue = make(work, filter={"tags": ["red"]}, concurrency_limit=2)
    for name, type_ in (("runs", "RUNNING"), ("ends", "CANCELLING")):
        run = work.run(name=name, tags=["red"], state={"type": type_})
        deployed(work, deployment_id, run)
    for day in (1, 2):
        deployed(work, deployment_id, scheduled(work, f"waits-{day}", day, tags=["red"]))
    assert agent_queues.with_slots(work.tx, found(work, queue)).active_slots == 1
    assert handed(work, queue) == ["waits-1"]
    limit(work, queue, 1)
    assert handed(work, queue) == []
    unlimited = make(work, "u", filter={"tags": ["red"]})
    assert agent_queues.with_slots(work.tx, unlimited).active_slots is None


def test_an_in_process_retry_is_handed_to_agents_too(work: Work) -> None:
    queue = make(work)
    policy = {"retry_type": "in_process"}
    scheduled(work, "retries", 1, work_queue_name="q", empirical_policy=policy)
    assert handed(work, queue) == ["retries"]


def test_runs_that_know_a_name_alone_are_read_from_the_head_of_an_index(work: Work) -> None:
    steps = work.tx.all(
        "EXPLAIN QUERY PLAN SELECT fr.seq FROM flow_run fr WHERE (fr.work_queue_id IS NULL"
        " AND fr.work_queue_name = 'q') AND fr.state_type = 'SCHEDULED'"
        " AND fr.next_scheduled_start_time BETWEEN '' AND 'x'"
        " ORDER BY fr.next_scheduled_start_time, fr.seq LIMIT 1"
    )
    assert len(steps) == 1
    assert "flow_run_by_queue_name" in steps[0][3]


def test_a_filter_is_answered_as_it_was_sent(work: Work) -> None:
    queue = make(work, filter={"tags": ["red"]})
    assert queue.filter is not None
    assert msgspec.json.decode(queue.filter) == {"tags": ["red"], "deployment_ids": None}
