"""From a task-run event of a client to the change of a task run it reports.

Source: `prefect.server.services.task_run_recorder.task_run_from_event`; what clients send is built
by `prefect.utilities.engine.emit_task_run_state_change_event`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from lictor.schema import times
from lictor.schema.backends.tx import Value
from lictor.schema.commands.proposals import DEFAULT_NAMES, details
from lictor.schema.events.event import RESOURCE_ID, Event
from lictor.schema.tables.runs import encode_text
from lictor.schema.tables.task_run_recorder import TaskRunChange
from lictor.schema.wire.flow_runs import Labels
from lictor.schema.wire.states import StateDetailsBody, StateType
from lictor.schema.wire.task_runs import TaskInput, TaskRunPolicy
from lictor.schema.wire.validate import BAD, Validator

EVENT_PREFIX = "prefect.task-run"
TASK_RUN_PREFIX = "prefect.task-run."
FLOW_RUN_PREFIX = "prefect.flow-run."

_is_canonical = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
).fullmatch

Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Moment = datetime | UnsetType | None


class _TaskRun(msgspec.Struct):
    """`payload.task_run`. A key that is absent means "unchanged"; unknown ones are ignored."""

    task_key: str
    dynamic_key: str
    name: str | UnsetType | None = UNSET
    cache_key: str | UnsetType | None = UNSET
    cache_expiration: Moment = UNSET
    task_version: str | UnsetType | None = UNSET
    empirical_policy: TaskRunPolicy | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    labels: Labels | UnsetType | None = UNSET
    task_inputs: dict[str, list[TaskInput]] | UnsetType = UNSET
    run_count: Count | UnsetType = UNSET
    flow_run_run_count: Count | UnsetType = UNSET
    expected_start_time: Moment = UNSET
    next_scheduled_start_time: Moment = UNSET
    start_time: Moment = UNSET
    end_time: Moment = UNSET
    total_run_time: float | UnsetType = UNSET


class _State(msgspec.Struct):
    """`payload.validated_state`. Its id and time are the event's unless it has its own."""

    type: StateType
    name: str | None = None
    message: str | None = None
    state_details: StateDetailsBody | None = None
    data: Any = None
    id: UUID | None = None
    timestamp: datetime | None = None


class _Payload(msgspec.Struct):
    validated_state: _State
    task_run: _TaskRun


class Unusable(Exception):
    """The event is not a change that can be recorded; the text says why."""


def is_change(event: Event) -> bool:
    """Whether the event reports a state of a task run that its client orchestrates."""
    return (
        event.event.startswith(EVENT_PREFIX)
        and event.resource.get("prefect.orchestration") == "client"
    )


def from_event(event: Event) -> TaskRunChange:
    """The change an event (see `is_change`) reports.

    Raises:
        Unusable: it lacks something, or something in it has the wrong form.
    """
    try:
        return _from_event(event)
    except (ValueError, OverflowError) as error:  # (msgspec's and UUID's are ValueErrors)
        raise Unusable(f"{event.event} {event.id}: {error}") from error


def _from_event(event: Event) -> TaskRunChange:
    payload = _read(event.payload)
    run, state = payload.task_run, payload.validated_state
    flow_run = event.in_role("flow-run")
    given = details(StateDetailsBody() if state.state_details is None else state.state_details)
    if state.type == "SCHEDULED" and given.scheduled_time is None:
        given.scheduled_time = event.received
    return TaskRunChange(
        task_run_id=_uuid(event.resource[RESOURCE_ID], TASK_RUN_PREFIX),
        flow_run_id=None if flow_run is None else _uuid(flow_run[RESOURCE_ID], FLOW_RUN_PREFIX),
        task_key=run.task_key,
        dynamic_key=run.dynamic_key,
        columns=_columns(run),
        tags=None if run.tags is UNSET else run.tags,
        state_id=event.id if state.id is None else str(state.id),
        state_type=state.type,
        state_name=DEFAULT_NAMES[state.type] if state.name is None else state.name,
        timestamp=event.occurred if state.timestamp is None else times.text(state.timestamp),
        message=state.message,
        details=given,
        data=_result(state.data),
    )


def _read(payload: dict[str, Any]) -> _Payload:
    """The payload as it is written, or else as leniently as a body of a request is read.

    Raises:
        ValueError: it lacks something, or something in it has the wrong form.
    """
    try:
        return msgspec.convert(payload, _Payload)
    except msgspec.ValidationError:
        found: Any = Validator().check(inspect.type_info(_Payload), payload, ())
        if found is BAD:
            raise
        assert isinstance(found, _Payload)
        return found


def _uuid(resource_id: str, prefix: str) -> str:
    if not resource_id.startswith(prefix):
        raise ValueError(f"{resource_id!r} does not begin with {prefix!r}")
    text = resource_id[len(prefix) :]
    return text if _is_canonical(text) else str(UUID(text))


def _columns(run: _TaskRun) -> dict[str, Value]:
    """The columns that were reported, as they are stored."""
    columns: dict[str, Value] = {}
    if run.name:
        columns["name"] = run.name
    for name in _PLAIN:
        if (value := getattr(run, name)) is not UNSET:
            columns[name] = value
    for name in _MOMENTS:
        if (moment := getattr(run, name)) is not UNSET:
            columns[name] = None if moment is None else times.text(moment)
    if run.empirical_policy is not UNSET:
        policy = run.empirical_policy.with_deprecated_fields()
        columns["empirical_policy"] = encode_text(policy).decode()
    if run.tags is not UNSET:
        columns["tags"] = encode_text(run.tags).decode()
    if run.labels is not UNSET:
        columns["labels"] = encode_text(run.labels).decode()
    if run.task_inputs is not UNSET:
        columns["task_inputs"] = encode_text(run.task_inputs).decode()
    return columns


_PLAIN = (
    "cache_key", "task_version", "run_count", "flow_run_run_count", "total_run_time",
)  # fmt: skip
_MOMENTS = (
    "cache_expiration", "expected_start_time", "next_scheduled_start_time", "start_time",
    "end_time",
)  # fmt: skip


def _result(data: Any) -> Any:
    """The state's data as a dict of its own, without `artifact_*` keys that are no texts."""
    if not isinstance(data, dict):
        return data
    return {
        key: value
        for key, value in data.items()
        if isinstance(value, str) or key not in _ARTIFACT_KEYS
    }


_ARTIFACT_KEYS = frozenset({"artifact_key", "artifact_type", "artifact_description"})
