"""From a request's state to the working record that rules see, and from that to its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from lictor.config.settings import Settings
from lictor.schema.errors import FieldError, InvalidRequest
from lictor.schema.mint import Mint
from lictor.schema.rules.engine import Transition
from lictor.schema.rules.records import State
from lictor.schema.tables.runs import encode_text
from lictor.schema.times import text
from lictor.schema.wire import states as wire
from lictor.schema.wire.flow_runs import Labels, OrchestrationResult
from lictor.schema.wire.states import SparseStateDetails, StateBody, StateDetailsBody

_NO_DETAILS = StateDetailsBody()

DEFAULT_NAMES = {
    "SCHEDULED": "Scheduled",
    "PENDING": "Pending",
    "RUNNING": "Running",
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "CANCELLED": "Cancelled",
    "CRASHED": "Crashed",
    "PAUSED": "Paused",
    "CANCELLING": "Cancelling",
}


def details(body: StateDetailsBody) -> SparseStateDetails:
    """The details of a request, ids and moments as canonical text."""
    if body == _NO_DETAILS:
        return SparseStateDetails()
    return SparseStateDetails(
        flow_run_id=_id(body.flow_run_id),
        task_run_id=_id(body.task_run_id),
        child_flow_run_id=_id(body.child_flow_run_id),
        scheduled_time=None if body.scheduled_time is None else text(body.scheduled_time),
        cache_key=body.cache_key,
        cache_expiration=None if body.cache_expiration is None else text(body.cache_expiration),
        deferred=body.deferred,
        untrackable_result=body.untrackable_result,
        pause_timeout=None if body.pause_timeout is None else text(body.pause_timeout),
        pause_reschedule=body.pause_reschedule,
        pause_key=body.pause_key,
        run_input_keyset=body.run_input_keyset,
        refresh_cache=body.refresh_cache,
        retriable=body.retriable,
        transition_id=_id(body.transition_id),
        task_parameters_id=_id(body.task_parameters_id),
        traceparent=body.traceparent,
        deployment_concurrency_lease_id=_id(body.deployment_concurrency_lease_id),
    )


def _id(value: Any) -> str | None:
    return None if value is None else str(value)


decode_details = msgspec.json.Decoder(SparseStateDetails).decode
decode_tags = msgspec.json.Decoder(list[str]).decode
_decode_complete_details = msgspec.json.Decoder(wire.StateDetails).decode
_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(Labels | None).decode


def decode_labels(text: str) -> Labels:
    """Labels from their JSON text; those of a flow may be null."""
    return _decode_labels(text) or {}


def state(body: StateBody, mint: Mint) -> State:
    """The proposed state of a request: id and timestamp are minted, a name is given."""
    proposed = details(body.state_details)
    now = mint.now()
    if body.type == "SCHEDULED" and proposed.scheduled_time is None:
        proposed.scheduled_time = now
    name = DEFAULT_NAMES[body.type] if body.name is None else body.name
    return State(mint.id(), body.type, name, now, body.message, body.data, proposed)


def current(
    id_: str | None,
    type_: str,
    name: str,
    timestamp: str,
    message: str | None,
    details_json: str,
    data_json: str | None,
) -> State | None:
    """The state a run is in, from its columns; None for a run without one."""
    if id_ is None:
        return None
    stored = SparseStateDetails() if details_json == "{}" else decode_details(details_json)
    data = None if data_json is None else Raw(data_json)
    return State(id_, type_, name, timestamp, message, data, stored)


def answer(state: State) -> wire.State:
    """The state as an answer carries it, every detail included."""
    complete = _decode_complete_details(_encode(state.details))
    return wire.State(
        state.id, state.type, state.name, state.timestamp, state.message, complete, state.data
    )


ACCEPTED: dict[str, Any] = {"type": "accept_details"}


def result(transition: Transition[Any]) -> OrchestrationResult:
    """The verdict of a transition as `set_state` answers it."""
    verdict: dict[str, Any]
    if transition.status == "ACCEPT":
        verdict = ACCEPTED
    elif transition.status == "WAIT":
        verdict = {
            "type": "wait_details",
            "delay_seconds": transition.delay_seconds,
            "reason": transition.reason,
        }
    else:
        verdict = {"type": f"{transition.status.lower()}_details", "reason": transition.reason}
    held = transition.validated
    return OrchestrationResult(None if held is None else answer(held), transition.status, verdict)


def sized_parameters(given: Mapping[str, Any], settings: Settings) -> str:
    """Parameters as JSON text.

    Raises:
        InvalidRequest: they are larger than `api_parameter_bytes_max`.
    """
    encoded = encode_text(given)
    limit = settings.api_parameter_bytes_max
    if limit and len(encoded) > limit:
        message = f"Value error, the parameters take {len(encoded)} bytes; the limit is {limit}."
        raise InvalidRequest([FieldError("value_error", ("body", "parameters"), message)])
    return encoded.decode()
