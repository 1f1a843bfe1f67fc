"""Work statuses: workers that fall silent are offline; queues and deployments that nobody polls are
not ready.

Owns    nothing: a worker's deadline is `online_until`; that of a queue or deployment is
        `last_polled` plus `work_queue_polled_s` or `deployment_polled_s`. The last worker that goes
        offline takes its pool's readiness along.
Serves  nobody; told when a worker comes online and when a queue or deployment becomes ready.
Limits  `deadlines.BATCH` of them in one job of the journal.
Fails   as `actors/deadlines.py` says.

Source: `prefect.server.services.foreman`.
"""

from __future__ import annotations

from lictor.actors.deadlines import DeadlineLoop, Settling
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.commands import deployment_status, work_queues, workers
from lictor.schema.commands.deadlines import Clock
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.tables.deadlines import Kind

WORKER = Kind("worker", "online_until", "status = 'ONLINE'")
WORK_QUEUE = Kind("work_queue", "last_polled", "status = 'READY'")
DEPLOYMENT = Kind("deployment", "last_polled", "status = 'READY'")


def worker_presence(journal: Journal, readers: Readers, clock: Clock) -> DeadlineLoop:
    """The loop that declares workers offline, and their pools not ready."""
    mint = clock.mint
    settle = Settling("workers", journal, lambda tx, id_: workers.mark_silent(tx, id_, mint))
    loop = DeadlineLoop("workers", WORKER, 0.0, settle, readers, mint)
    _watch(journal, "worker", loop)
    return loop


def work_queue_readiness(journal: Journal, readers: Readers, clock: Clock) -> DeadlineLoop:
    """The loop that declares work queues not ready."""
    mint, settings = clock.mint, clock.settings
    settle = Settling(
        "work queues",
        journal,
        lambda tx, id_: work_queues.mark_unpolled(tx, id_, mint, settings),
    )
    lag_s = settings.work_queue_polled_s
    loop = DeadlineLoop("work_queues", WORK_QUEUE, lag_s, settle, readers, mint)
    _watch(journal, "work_queue", loop)
    return loop


def deployment_readiness(journal: Journal, readers: Readers, clock: Clock) -> DeadlineLoop:
    """The loop that declares deployments not ready."""
    mint, settings = clock.mint, clock.settings
    settle = Settling(
        "deployments",
        journal,
        lambda tx, id_: deployment_status.mark_unpolled(tx, id_, mint, settings),
    )
    lag_s = settings.deployment_polled_s
    loop = DeadlineLoop("deployments", DEPLOYMENT, lag_s, settle, readers, mint)
    _watch(journal, "deployment", loop)
    return loop


def _watch(journal: Journal, kind: str, loop: DeadlineLoop) -> None:
    loop.touch_after(journal, lambda item: isinstance(item, Deadline) and item.kind == kind)
