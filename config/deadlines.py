"""Settings of the deadlines that the server keeps for runs nobody moves."""

from __future__ import annotations

from typing import Annotated

from lictor.config.declaration import about
from lictor.config.work import WorkSettings


class DeadlineSettings(WorkSettings, frozen=True, kw_only=True):
    """How long a run may stay in a state before the server itself takes it further."""

    late_runs_enabled: Annotated[
        bool,
        about(
            "Whether scheduled runs that nobody takes are named Late.",
            prefect=(
                "SERVER_SERVICES_LATE_RUNS_ENABLED",
                "API_SERVICES_LATE_RUNS_ENABLED",
            ),
        ),
    ] = True
    late_runs_after_s: Annotated[
        float,
        about(
            "Time after its scheduled time from which a run that nobody takes is late.",
            unit="s",
            prefect=(
                "SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS",
                "API_SERVICES_LATE_RUNS_AFTER_SECONDS",
            ),
            ge=0,
            le=31_536_000,
        ),
    ] = 15.0
    pause_expirations_enabled: Annotated[
        bool,
        about(
            "Whether a run fails when its pause expires; off, it fails when somebody tries to "
            "resume it.",
            prefect=(
                "SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED",
                "API_SERVICES_PAUSE_EXPIRATIONS_ENABLED",
            ),
        ),
    ] = True
    cancellation_cleanup_enabled: Annotated[
        bool,
        about(
            "Whether task runs and subflows follow a run into cancellation, and a run that does "
            "not finish being cancelled is declared CANCELLED.",
            prefect=(
                "SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED",
                "API_SERVICES_CANCELLATION_CLEANUP_ENABLED",
            ),
        ),
    ] = True
    cancelling_timeout_s: Annotated[
        float,
        about(
            "Time a run may be CANCELLING before it is declared CANCELLED.",
            unit="s",
            prefect=("SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS",),
            gt=0,
            le=31_536_000,
        ),
    ] = 300.0
    pending_timeout_s: Annotated[
        float,
        about(
            "Time a run may be PENDING, that is submitted and not started, before it is declared "
            "CRASHED; 0 is no limit. A week, because a queue of a cluster may hold a run for days; "
            "should it start after all, it still may.",
            unit="s",
            ge=0,
            le=31_536_000,
        ),
    ] = 604_800.0
    heartbeat_timeout_s: Annotated[
        float,
        about(
            "Silence after which a RUNNING run that has sent heartbeats is declared CRASHED; 0 is "
            "never. It is also at least five of the run's own intervals, and counts only while the "
            "server runs. Ten intervals of the client's default, because code that holds the "
            "interpreter's lock is silent and well; a run that finishes after all is COMPLETED.",
            unit="s",
            ge=0,
            le=31_536_000,
        ),
    ] = 1800.0
