"""Settings of concurrency limits: how long a caller waits for a slot, how long a slot is leased."""

from __future__ import annotations

from typing import Annotated

from lictor.config.deadlines import DeadlineSettings
from lictor.config.declaration import about


class ConcurrencySettings(DeadlineSettings, frozen=True, kw_only=True):
    """The bounds of waiting for slots; when a slot is free is foreseen for each caller."""

    slot_wait_max_s: Annotated[
        float,
        about(
            "Longest time after which a caller is told to ask again for a slot of a global "
            "concurrency limit. Limits whose slots decay know their time and have no bound.",
            unit="s",
            prefect=("SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS",),
            ge=0,
        ),
    ] = 30.0
    tag_slot_wait_max_s: Annotated[
        float,
        about(
            "The same for the limits on tags of tasks.",
            unit="s",
            prefect=(
                "SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS",
                "TASK_RUN_TAG_CONCURRENCY_SLOT_WAIT_SECONDS",
            ),
            ge=0,
        ),
    ] = 10.0
    deployment_slot_wait_s: Annotated[
        float,
        about(
            "Time by which a run is put off when its deployment's concurrency limit is reached.",
            unit="s",
            prefect=(
                "SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS",
                "DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS",
            ),
            ge=0,
        ),
    ] = 30.0
    deployment_lease_s: Annotated[
        float,
        about(
            "Time a submitted run has to start before its slot of the deployment's limit is given "
            "to another, unless the deployment says how long.",
            unit="s",
            prefect=("SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION",),
            ge=30,
            le=3600,
        ),
    ] = 300.0
