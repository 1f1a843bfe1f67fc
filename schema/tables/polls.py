"""Which runs a poll is handed: read from the heads of indexes, never from all that waits.

A poll of a pool is two statements: the queues with the first runs of each, as row numbers, and the
runs that were chosen. Nothing is reserved: a run that two workers were handed is PENDING for the
one that proposes it first.

Source: `prefect.server.models.{workers,work_queues}`, and the SQL of
`prefect.server.database.query_components` on scheduled runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

import msgspec

from lictor.schema.backends.tx import ReadTx
from lictor.schema.filters.clauses import is_in
from lictor.schema.tables import flow_runs
from lictor.schema.tables.work_queues import RESERVED
from lictor.schema.times import EARLIEST, Timestamp
from lictor.schema.wire.flow_runs import FlowRun

LATEST: Timestamp = "9999-12-31T23:59:59.999999Z"


class Window(NamedTuple):
    """Runs that are due from `after` to `before`, both included, and how many at most."""

    limit: int
    before: Timestamp = LATEST
    after: Timestamp = EARLIEST


class Queue(NamedTuple):
    """A queue as a poll finds it; `taken`: runs that take its slots, `first`: rows of runs."""

    id: str
    name: str
    is_paused: int
    limit: int | None
    status: str
    last_polled: Timestamp | None
    taken: int
    first: str

    def free(self) -> list[int]:
        """The rows of the runs that find a slot, in order."""
        rows: list[int] = msgspec.json.decode(self.first)
        return rows if self.limit is None else rows[: max(0, self.limit - self.taken)]


_POOL = (
    "SELECT wq.id, wq.name, wq.is_paused, wq.concurrency_limit, wq.status, wq.last_polled,"
    " (SELECT count(*) FROM flow_run t WHERE t.work_queue_id = wq.id"
    f" AND t.state_type IN {RESERVED['in_pool']}),"
    " CASE WHEN wq.is_paused THEN '[]' ELSE (SELECT json_group_array(seq) FROM"
    " (SELECT r.seq FROM flow_run r WHERE r.work_queue_id = wq.id AND r.state_type = 'SCHEDULED'"
    " AND r.next_scheduled_start_time BETWEEN ? AND ?"
    " AND json_extract(r.empirical_policy, '$.retry_type') IS NOT 'in_process'"
    " ORDER BY r.next_scheduled_start_time, r.seq LIMIT ?)) END FROM work_queue wq"
    " WHERE wq.work_pool_id = ? ORDER BY wq.priority, wq.seq"
)
_decode_heads = msgspec.json.Decoder(list[tuple[Timestamp, int]]).decode


def queues_of_pool(tx: ReadTx, work_pool_id: str, window: Window) -> list[Queue]:
    """Every queue of a pool, by priority, with the first of its runs."""
    rows = tx.all(_POOL, (window.after, window.before, window.limit, work_pool_id))
    return [Queue(*row) for row in rows]


def choose(
    queues: Sequence[Queue], free_slots: int | None, limit: int
) -> list[int]:
    """The rows of the runs to hand out: strictly by the order of the queues.

    `free_slots`: those of the pool; None: as many as anybody wants.
    """
    most = limit if free_slots is None else min(limit, max(0, free_slots))
    return [row for each in queues for row in each.free()][:most]


def read_rows(
    tx: ReadTx, rows: Sequence[int], now: datetime, *, as_made: bool = False
) -> list[FlowRun]:
    """The runs of these rows, in this order.

    `as_made`: with the name of the queue that they were made with, should it have one, and not the
    one that their queue has now.
    """
    if not rows:
        return []
    # They come in this order already. SQLite does not promise it, and would sort whole rows for it.
    found = tx.all(
        f"SELECT chosen.key, fr.work_queue_name, {flow_runs.COLUMNS} FROM json_each(?) chosen"
        f" CROSS JOIN {flow_runs.FROM} WHERE fr.seq = chosen.value",
        (msgspec.json.encode(list(rows)).decode(),),
    )
    found.sort(key=itemgetter(0))
    runs = [flow_runs.to_wire(row[2:], now) for row in found]
    if as_made:
        for run, row in zip(runs, found, strict=True):
            run.work_queue_name = row[1]
    return runs


_HEADS = (
    "SELECT (SELECT json_group_array(json_array(head.due, head.seq)) FROM"
    " (SELECT r.next_scheduled_start_time AS due, r.seq FROM flow_run r"
    " WHERE r.deployment_id = d.value AND r.state_type = 'SCHEDULED'"
    " AND r.next_scheduled_start_time <= ?"
    " ORDER BY r.next_scheduled_start_time, r.seq LIMIT ?) head) FROM json_each(?) d"
)


def of_deployments(
    tx: ReadTx, deployment_ids: Sequence[str], window: Window, now: datetime
) -> list[FlowRun]:
    """The runs of these deployments that are due, in the order of their times."""
    wanted = msgspec.json.encode(list(dict.fromkeys(deployment_ids))).decode()
    found = tx.all(_HEADS, (window.before, window.limit, wanted))
    heads = sorted([head for (each,) in found for head in _decode_heads(each)])
    return read_rows(tx, [row for _, row in heads[: window.limit]], now)


def stale_deployments(
    tx: ReadTx, ids: Sequence[str], since: Timestamp, now: Timestamp
) -> list[str]:
    """Those of these deployments whose last poll is to be noted afresh: it is not of the time from
    `since` to `now`, which a clock that was set back may put before it.
    """
    among = is_in("id", ids)
    rows = tx.all(
        f"SELECT id FROM deployment WHERE {among.sql}"
        " AND (status <> 'READY' OR last_polled IS NULL OR last_polled NOT BETWEEN ? AND ?)",
        (*among.args, since, now),
    )
    return [id_ for (id_,) in rows]
