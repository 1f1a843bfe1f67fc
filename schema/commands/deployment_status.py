"""Whether deployments are ready: somebody asks for their runs, directly or through their queue.

`updated` tells of what people change, and stays.

Source: `mark_deployments_ready` and `mark_deployments_not_ready` of
`prefect.server.models.deployments`, `prefect.server.services.foreman`.
"""

from __future__ import annotations

from collections.abc import Sequence

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import deployment_events
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import is_polled
from lictor.schema.times import shift

NOTED_S = 5.0
"""Polls of a queue that follow each other this closely are noted once for its deployments."""


def mark_polled(tx: Tx, ids: Sequence[str], mint: Mint) -> None:
    """Note that somebody asked for runs of these deployments: they are ready from now on."""
    now = mint.now()
    for id_ in ids:
        tx.run("UPDATE deployment SET last_polled = ? WHERE id = ?", (now, id_))
        _make_ready(tx, id_, mint)


def mark_queue_polled(tx: Tx, work_queue_id: str, mint: Mint) -> None:
    """Note that somebody asked a queue for work: all its deployments are ready from now on."""
    now = mint.now()
    unready = tx.all(
        "SELECT id FROM deployment WHERE work_queue_id = ? AND status <> 'READY'",
        (work_queue_id,),
    )
    tx.run(
        "UPDATE deployment SET last_polled = ? WHERE work_queue_id = ?"
        " AND (last_polled IS NULL OR last_polled < ? OR status <> 'READY')",
        (now, work_queue_id, shift(now, -NOTED_S)),
    )
    for (id_,) in unready:
        _make_ready(tx, id_, mint)


def _make_ready(tx: Tx, id_: str, mint: Mint) -> None:
    sql = "UPDATE deployment SET status = 'READY' WHERE id = ? AND status <> 'READY'"
    if tx.run(sql, (id_,)):
        deployment_events.publish_status(tx, id_, "READY", mint)
        tx.publish(Deadline("deployment"))


def mark_unpolled(tx: Tx, id_: str, mint: Mint, settings: Settings) -> bool:
    """A deployment whose runs nobody has asked for in time is not ready any more.

    One whose queue was asked meanwhile was asked with it, and its deadline moves. Whether there
    was anything to do.
    """
    row = tx.one(
        "SELECT d.status, d.last_polled, q.last_polled FROM deployment d"
        " LEFT JOIN work_queue q ON q.id = d.work_queue_id WHERE d.id = ?",
        (id_,),
    )
    if row is None or row[0] != "READY":
        return False
    now, last = mint.now(), max(row[1] or "", row[2] or "") or None
    if is_polled(last, now, settings.deployment_polled_s):
        tx.run("UPDATE deployment SET last_polled = ? WHERE id = ?", (last, id_))
        return True
    tx.run("UPDATE deployment SET status = 'NOT_READY' WHERE id = ?", (id_,))
    deployment_events.publish_status(tx, id_, "NOT_READY", mint)
    return True
