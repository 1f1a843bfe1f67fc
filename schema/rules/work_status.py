"""When workers, work queues and work pools are ready: pure arithmetic on moments.

Source: `prefect.server.services.foreman`, `prefect.server.models.{workers,work_queues}`.
"""

from __future__ import annotations

from typing import Literal

from lictor.schema.times import Timestamp, seconds_between, shift

Status = Literal["READY", "NOT_READY", "PAUSED"]
WorkerStatus = Literal["ONLINE", "OFFLINE"]

AGENT = "prefect-agent"
"""The pool type of agents: such a pool shows no status, and its pause does not change the one it
has."""
AGENT_POOL = "default-agent-pool"
"""The pool of the queues that are made without naming one."""
FOLLOWS_S = 600.0
"""A status event names the one before it when that is less than this old."""


def online_until(
    heartbeat: Timestamp, interval_s: int | None, missed_max: int, usual_s: int
) -> Timestamp:
    """The moment at which a worker is offline unless another heartbeat arrives.

    `interval_s`: its own interval; without one, or 0, `usual_s`. `missed_max`: intervals it may
    miss.
    """
    return shift(heartbeat, (interval_s or usual_s) * missed_max)


def worker_status(until: Timestamp, now: Timestamp) -> WorkerStatus:
    """What a worker is now whose heartbeats count until `until`."""
    return "ONLINE" if now < until else "OFFLINE"


def pool_status(type_: str, is_paused: bool, has_online_worker: bool) -> Status:
    """What a pool of this type is."""
    if is_paused and type_ != AGENT:
        return "PAUSED"
    return "READY" if has_online_worker else "NOT_READY"


def is_polled(last_polled: Timestamp | None, now: Timestamp, timeout_s: float) -> bool:
    """Whether a queue was asked for work less than `timeout_s` seconds ago."""
    return last_polled is not None and seconds_between(last_polled, now) < timeout_s


def queue_status(
    status: Status,
    is_paused: bool | None,
    last_polled: Timestamp | None,
    now: Timestamp,
    timeout_s: float,
) -> Status:
    """What a queue is after `is_paused` was written to it; None: it was not."""
    if is_paused is True:
        return "PAUSED"
    if is_paused is False and status == "PAUSED":
        return "READY" if is_polled(last_polled, now, timeout_s) else "NOT_READY"
    return status


def status_word(status: str) -> str:
    """A status as event names have it: `not-ready`."""
    return status.lower().replace("_", "-")
