"""Which deadlines of runs and workers the server keeps: its actors, and the settings for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lictor.actors.cancellations import cancellation_cleanup, cancelling_timeout
from lictor.actors.cleanup import retention as cleanup_retention
from lictor.actors.cleanup import undelivered as undelivered_cleanup
from lictor.actors.deadlines import RunWatch
from lictor.actors.journal import Journal
from lictor.actors.late_runs import late_runs
from lictor.actors.liveness import Liveness
from lictor.actors.pause_expiry import pause_expiry
from lictor.actors.readers import Readers
from lictor.actors.scheduler import Scheduler
from lictor.actors.unstarted_runs import unstarted_runs
from lictor.actors.work_statuses import (
    deployment_readiness,
    work_queue_readiness,
    worker_presence,
)
from lictor.config.settings import Settings
from lictor.schema.commands.deadlines import Clock
from lictor.schema.mint import Mint

Run = Callable[[], Awaitable[None]]


def housekeeping(
    journal: Journal, readers: Readers, mint: Mint, settings: Settings
) -> Iterator[tuple[str, Run]]:
    """Name and `run` of each actor. Nobody waits for them, so they may be restarted in place."""
    watch, clock = RunWatch(journal), Clock(mint, settings)
    if settings.late_runs_enabled:
        yield "late runs", late_runs(journal, readers, watch, clock).run
    if settings.pause_expirations_enabled:
        yield "pause expiry", pause_expiry(journal, readers, watch, clock).run
    if settings.cancellation_cleanup_enabled:
        yield "cancelling timeout", cancelling_timeout(journal, readers, watch, clock).run
        yield "cancellation clean-up", cancellation_cleanup(journal, readers, watch, clock).run
    if settings.pending_timeout_s:
        yield "unstarted runs", unstarted_runs(journal, readers, watch, clock).run
    if settings.heartbeat_timeout_s:
        yield "liveness", Liveness(journal, readers, watch, clock).run
    if settings.scheduler_enabled:
        yield "scheduler", Scheduler(journal, readers, clock).run
    if settings.work_statuses_enabled:
        yield "worker presence", worker_presence(journal, readers, clock).run
        yield "work queue readiness", work_queue_readiness(journal, readers, clock).run
        yield "deployment readiness", deployment_readiness(journal, readers, clock).run
    yield "undelivered clean-up", undelivered_cleanup(journal, readers, clock).run
    yield "clean-up retention", cleanup_retention(journal, readers, clock).run
