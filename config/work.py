"""Settings of work pools, work queues and workers: when they count as ready."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lictor.config.declaration import about
from lictor.config.scheduler import SchedulerSettings


class WorkSettings(SchedulerSettings, frozen=True, kw_only=True):
    """How long silence is taken for presence, and what kinds of workers are offered."""

    work_statuses_enabled: Annotated[
        bool,
        about(
            "Whether workers that send no heartbeat are taken for offline, and pools, queues and "
            "deployments that nobody serves for not ready.",
            prefect=("SERVER_SERVICES_FOREMAN_ENABLED", "API_SERVICES_FOREMAN_ENABLED"),
        ),
    ] = True
    worker_missed_heartbeats: Annotated[
        int,
        about(
            "Intervals a worker may be silent before it is offline.",
            prefect=(
                "SERVER_SERVICES_FOREMAN_INACTIVITY_HEARTBEAT_MULTIPLE",
                "API_SERVICES_FOREMAN_INACTIVITY_HEARTBEAT_MULTIPLE",
            ),
            ge=1,
            le=1000,
        ),
    ] = 3
    worker_heartbeat_s: Annotated[
        int,
        about(
            "Interval between heartbeats of workers that name none.",
            unit="s",
            prefect=(
                "SERVER_SERVICES_FOREMAN_FALLBACK_HEARTBEAT_INTERVAL_SECONDS",
                "API_SERVICES_FOREMAN_FALLBACK_HEARTBEAT_INTERVAL_SECONDS",
            ),
            ge=1,
            le=31_536_000,
        ),
    ] = 30
    work_queue_polled_s: Annotated[
        float,
        about(
            "Time after which a work queue that nobody asks for work is not ready.",
            unit="s",
            prefect=(
                "SERVER_SERVICES_FOREMAN_WORK_QUEUE_LAST_POLLED_TIMEOUT_SECONDS",
                "API_SERVICES_FOREMAN_WORK_QUEUE_LAST_POLLED_TIMEOUT_SECONDS",
            ),
            gt=0,
            le=31_536_000,
        ),
    ] = 60.0
    deployment_polled_s: Annotated[
        float,
        about(
            "Time after which a deployment that nobody asks for work is not ready.",
            unit="s",
            prefect=(
                "SERVER_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS",
                "API_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS",
            ),
            gt=0,
            le=31_536_000,
        ),
    ] = 60.0
    cleanup_lease_s: Annotated[
        float,
        about(
            "Time a worker has for a clean-up message, unless it renews; then it is delivered "
            "again.",
            unit="s",
            prefect=("SERVER_WORKER_CHANNEL_CLEANUP_LEASE_SECONDS",),
            gt=0,
            le=86_400,
        ),
    ] = 30.0
    cleanup_deliveries_max: Annotated[
        int,
        about(
            "Deliveries of a clean-up message after which it is given up.",
            prefect=("SERVER_WORKER_CHANNEL_CLEANUP_MAX_DELIVERY_ATTEMPTS",),
            ge=1,
            le=1000,
        ),
    ] = 3
    cleanup_retention_s: Annotated[
        float,
        about(
            "Time for which a clean-up message that was acknowledged or given up is remembered. A "
            "week, in which nothing is cleaned up twice; Prefect remembers until it is restarted.",
            unit="s",
            prefect=("SERVER_WORKER_CHANNEL_CLEANUP_COMPLETED_IDEMPOTENCY_RETENTION_SECONDS",),
            ge=0,
            le=315_360_000,
        ),
    ] = 604_800.0
    worker_metadata: Annotated[
        Path | None,
        about(
            "JSON file that describes the types of workers, in the form of Prefect's collection "
            "registry (aggregate-worker-metadata). Without one, the type process is offered."
        ),
    ] = None
