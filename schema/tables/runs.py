"""What flow runs and task runs have in common when a row becomes an answer."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Raw

from lictor.schema.times import parse
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import TERMINAL
from lictor.schema.wire.task_runs import TaskRunPolicy

encode_text = msgspec.json.Encoder(decimal_format="number").encode

EMPTY_LIST = Raw(b"[]")
EMPTY_OBJECT = Raw(b"{}")


def estimated_run_time(
    total_s: float, state_type: str | None, state_timestamp: str | None, now: datetime
) -> float:
    """Seconds run so far: what is booked, plus the time since a RUNNING state began."""
    if state_type == "RUNNING" and state_timestamp is not None:
        return total_s + max(0.0, (now - parse(state_timestamp)).total_seconds())
    return total_s


def lateness(
    expected: str | None, start: str | None, state_type: str | None, now: datetime
) -> float:
    """Seconds of delay: start against expectation, or now against it while nothing has started.

    Source: `estimated_start_time_delta` in `prefect.server.schemas.core`.
    """
    if expected is None:
        return 0.0
    if start is not None:
        return (parse(start) - parse(expected)).total_seconds() if start > expected else 0.0
    if state_type in TERMINAL:
        return 0.0
    return max(0.0, (now - parse(expected)).total_seconds())


class _CompleteFlowRunPolicy(msgspec.Struct):
    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: int | None
    pause_keys: list[str] | None
    resuming: bool | None
    retry_type: str | None


class _CompleteTaskRunPolicy(msgspec.Struct):
    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: int | float | list[int | float] | None
    retry_jitter_factor: float | None


decode_flow_run_policy = msgspec.json.Decoder(FlowRunPolicy).decode
decode_task_run_policy = msgspec.json.Decoder(TaskRunPolicy).decode


def _complete_flow_run_policy(policy: FlowRunPolicy) -> Raw:
    return Raw(
        encode_text(
            _CompleteFlowRunPolicy(
                policy.max_retries,
                policy.retry_delay_seconds,
                policy.retries,
                policy.retry_delay,
                policy.pause_keys,
                policy.resuming,
                policy.retry_type,
            )
        )
    )


def _complete_task_run_policy(policy: TaskRunPolicy) -> Raw:
    return Raw(
        encode_text(
            _CompleteTaskRunPolicy(
                policy.max_retries,
                policy.retry_delay_seconds,
                policy.retries,
                policy.retry_delay,
                policy.retry_jitter_factor,
            )
        )
    )


_DEFAULT_FLOW_RUN_POLICY = _complete_flow_run_policy(FlowRunPolicy())
_DEFAULT_TASK_RUN_POLICY = _complete_task_run_policy(TaskRunPolicy())


def flow_run_policy(sparse: str) -> Raw:
    """The complete policy of an answer, from its sparse stored form."""
    if sparse == "{}":
        return _DEFAULT_FLOW_RUN_POLICY
    return _complete_flow_run_policy(decode_flow_run_policy(sparse))


def task_run_policy(sparse: str) -> Raw:
    """The complete policy of an answer, from its sparse stored form."""
    if sparse == "{}":
        return _DEFAULT_TASK_RUN_POLICY
    return _complete_task_run_policy(decode_task_run_policy(sparse))
