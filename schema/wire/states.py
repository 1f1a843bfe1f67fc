"""States of flow runs and task runs as the API sends and takes them.

Stored `state_details` are sparse (only what is set); answers carry every key.
Source: `prefect.server.schemas.states`, `prefect.server.schemas.actions.StateCreate`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

StateType = Literal[
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "CRASHED",
    "PAUSED",
    "CANCELLING",
]

TERMINAL: frozenset[str] = frozenset({"COMPLETED", "CANCELLED", "FAILED", "CRASHED"})


class StateDetails(msgspec.Struct, kw_only=True):
    """`state_details` of an answer, moments and ids as canonical text. Every key is always sent."""

    flow_run_id: str | None = None
    task_run_id: str | None = None
    child_flow_run_id: str | None = None
    scheduled_time: str | None = None
    cache_key: str | None = None
    cache_expiration: str | None = None
    deferred: bool | None = False
    untrackable_result: bool = False
    pause_timeout: str | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: str | None = None
    task_parameters_id: str | None = None
    traceparent: str | None = None
    deployment_concurrency_lease_id: str | None = None


class SparseStateDetails(StateDetails, kw_only=True, omit_defaults=True):
    """The same details in their stored form: encoding leaves out whatever is at its default."""


class State(msgspec.Struct):
    """A state as answers carry it."""

    id: str
    type: str
    name: str
    timestamp: str
    message: str | None
    state_details: StateDetails
    data: Any = None


class StateDetailsBody(msgspec.Struct, kw_only=True):
    """`state_details` of a request; unknown keys are ignored. (flow_run_id, task_run_id: kept.)"""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: datetime | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    deferred: bool | None = False
    untrackable_result: bool = False
    pause_timeout: datetime | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None
    traceparent: str | None = None
    deployment_concurrency_lease_id: UUID | None = None


class StateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A proposed state. `id`, `timestamp` and `created` cannot be given: the server mints them."""

    type: StateType
    name: str | None = None
    message: str | None = None
    data: Any = None
    state_details: StateDetailsBody = msgspec.field(default_factory=StateDetailsBody)


class SetState(msgspec.Struct, kw_only=True):
    """Body of `POST /flow_runs/{id}/set_state` and `POST /task_runs/{id}/set_state`."""

    state: StateBody
    force: bool = False


ObservedOrder = Literal["LAST_SEEN_DESC", "NAME_ASC"]


class ObservedState(msgspec.Struct):
    """A type and name that states of some runs have had. Source: `GET /observed-states`."""

    state_type: str
    state_name: str
    first_seen: str
    last_seen: str
