"""Settings of the scheduler: how far ahead schedules make runs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from lictor.config.declaration import about

_SERVICE = "SERVICES_SCHEDULER"


def _names(suffix: str) -> tuple[str, ...]:
    return (f"SERVER_{_SERVICE}_{suffix}", f"API_{_SERVICE}_{suffix}")


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule makes runs until both minimums hold or either maximum is reached."""

    scheduler_enabled: Annotated[
        bool,
        about("Whether the schedules of deployments make runs.", prefect=_names("ENABLED")),
    ] = True
    scheduler_rest_s: Annotated[
        float,
        about(
            "Least time between two looks at a schedule that has not changed and whose runs do "
            "not reach as far ahead as they should; a change is looked at at once.",
            unit="s",
            prefect=_names("LOOP_SECONDS"),
            gt=0,
            le=86_400,
        ),
    ] = 60.0
    scheduler_runs_min: Annotated[
        int,
        about(
            "Future runs that a schedule has at least.", prefect=_names("MIN_RUNS"), ge=1, le=1000
        ),
    ] = 3
    scheduler_runs_max: Annotated[
        int,
        about(
            "Runs that a schedule makes at once at most.",
            prefect=_names("MAX_RUNS"),
            ge=1,
            le=1000,
        ),
    ] = 100
    scheduler_ahead_min_s: Annotated[
        float,
        about(
            "Time from now up to which a schedule has runs at least.",
            unit="s",
            prefect=_names("MIN_SCHEDULED_TIME"),
            ge=0,
            le=315_360_000,
        ),
    ] = 3600.0
    scheduler_ahead_max_s: Annotated[
        float,
        about(
            "Time from now beyond which no schedule makes runs.",
            unit="s",
            prefect=_names("MAX_SCHEDULED_TIME"),
            gt=0,
            le=315_360_000,
        ),
    ] = 8_640_000.0
