"""Queues asked for without their pool, as agents did: which runs they hold, and who takes slots.

A queue holds the runs that carry its id. One of the agents' pool also holds those that know it by
its name alone: they were made without a pool, or their queue was deleted and made again. A queue
with a `filter`, of long ago, instead holds whatever runs of deployments the filter names, and its
slots are taken as in a pool.

Source: `get_runs_in_work_queue` and `count_work_queue_active_slots` of
`prefect.server.models.work_queues`, `get_work_queue_slot_holders` of
`prefect.server.models.workers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import structs

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.filters.clauses import Clause, any_of
from lictor.schema.filters.criteria import IdsOrNullOp, TagsOp
from lictor.schema.filters.engine import of_filter
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.rules.work_status import AGENT_POOL
from lictor.schema.tables.polls import Queue, Window
from lictor.schema.tables.work_queues import RESERVED, seconds_since
from lictor.schema.wire.work_queues import QueueFilter, SlotHolder, WorkQueue

_decode_filter = msgspec.json.Decoder(QueueFilter).decode


class _Members(NamedTuple):
    """The runs of a queue, in parts with an index each, and the states that take slots."""

    parts: Sequence[Clause]
    reserved: str


def read(tx: ReadTx, id_: str, window: Window) -> Queue | None:
    """The queue as a poll finds it, with the first of its runs."""
    row = tx.one(
        "SELECT wq.id, wq.name, wq.is_paused, wq.concurrency_limit, wq.status, wq.last_polled,"
        " wq.filter, p.name FROM work_queue wq CROSS JOIN work_pool p ON p.id = wq.work_pool_id"
        " WHERE wq.id = ?",
        (id_,),
    )
    if row is None:
        return None
    _, name, is_paused, limit, status, last_polled, filter_, pool_name = row
    members = _members(id_, name, pool_name) if filter_ is None else _chosen(filter_)
    taken = 0 if limit is None else _count(tx, members)
    first = [] if is_paused else _due(tx, members, window)
    rows = msgspec.json.encode(first).decode()
    return Queue(id_, name, is_paused, limit, status, last_polled, taken, rows)


def with_slots(tx: ReadTx, queue: WorkQueue) -> WorkQueue:
    """The queue with what is in use of its slots, should a filter say whose they are."""
    if queue.filter is None or queue.active_slots is None:
        return queue
    return structs.replace(queue, active_slots=_count(tx, _chosen(bytes(queue.filter))))


def count_slot_holders(tx: ReadTx, queue: WorkQueue) -> int:
    """How many runs take slots of the queue, its filter aside, whether it has a limit or not."""
    return _count(tx, _members(queue.id, queue.name, queue.work_pool_name))


def slot_holders(
    tx: ReadTx, queue: WorkQueue, limit: int, offset: int, now: datetime
) -> list[SlotHolder]:
    """A page of the runs that take slots of the queue, in the order of their making."""
    parts, reserved = _members(queue.id, queue.name, queue.work_pool_name)
    where = any_of(parts)
    rows = tx.all(
        "SELECT fr.id, fr.name, fr.state_type, fr.state_name, fr.start_time, fr.state_timestamp"
        f" FROM flow_run fr WHERE {where.sql} AND fr.state_type IN {reserved}"
        " ORDER BY fr.id LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [
        SlotHolder(id_, name, state_type, state_name, start, since, seconds_since(since, now))
        for id_, name, state_type, state_name, start, since in rows
    ]


def let_go(tx: Tx, queue: WorkQueue) -> None:
    """Let the runs that have not ended know a queue of the agents' pool by its name alone.

    It is about to be deleted, and one of its name may be made again. Runs of other queues never
    come back to one, so those keep the id, which no queue has any more.
    """
    if queue.work_pool_name == AGENT_POOL:
        tx.run(
            "UPDATE flow_run SET work_queue_id = NULL WHERE work_queue_id = ? AND state_type IN"
            " ('SCHEDULED', 'PENDING', 'RUNNING', 'CANCELLING', 'PAUSED')",
            (queue.id,),
        )


def _members(id_: str, name: str, pool_name: str) -> _Members:
    own = Clause("fr.work_queue_id = ?", (id_,))
    named = Clause("(fr.work_queue_id IS NULL AND fr.work_queue_name = ?)", (name,))
    return _Members([own, named] if pool_name == AGENT_POOL else [own], RESERVED["alone"])


def _chosen(filter_: str | bytes) -> _Members:
    asked = _decode_filter(filter_)
    runs = FlowRunFilter(
        tags=TagsOp(all_=asked.tags),
        deployment_id=IdsOrNullOp(any_=asked.deployment_ids, is_null_=False),
    )
    return _Members([of_filter(runs)], RESERVED["in_pool"])


def _count(tx: ReadTx, members: _Members) -> int:
    number = 0
    for part in members.parts:
        row = tx.one(
            f"SELECT count(*) FROM flow_run fr WHERE {part.sql}"
            f" AND fr.state_type IN {members.reserved}",
            part.args,
        )
        assert row is not None
        number += row[0]
    return number


def _due(tx: ReadTx, members: _Members, window: Window) -> list[int]:
    """The rows of the first runs, by time: the heads of the parts, put together."""
    heads = [
        head
        for part in members.parts
        for head in tx.all(
            "SELECT fr.next_scheduled_start_time, fr.seq FROM flow_run fr"
            f" WHERE {part.sql} AND fr.state_type = 'SCHEDULED'"
            " AND fr.next_scheduled_start_time BETWEEN ? AND ?"
            " ORDER BY fr.next_scheduled_start_time, fr.seq LIMIT ?",
            (*part.args, window.after, window.before, window.limit),
        )
    ]
    return [seq for _, seq in sorted(heads)[: window.limit]]
