"""What the rules read and write: a state, and the part of a run's row that a transition concerns.

Moments and ids are canonical text. A run's `empirical_policy` is never changed in place: a rule
that changes it puts a changed copy in its stead, so the old one can be put back, and told from it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.schema.backends.tx import Value
from lictor.schema.times import Timestamp
from lictor.schema.wire import states as wire
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import SparseStateDetails
from lictor.schema.wire.task_runs import TaskRunPolicy

encode = msgspec.json.Encoder().encode


class State(msgspec.Struct):
    """A state under decision. The rules may change one that is proposed, never the current one.

    `data` is a decoded JSON value, or `msgspec.Raw` for one that came from storage.
    """

    id: str
    type: str
    name: str
    timestamp: Timestamp
    message: str | None = None
    data: Any = None
    details: SparseStateDetails = msgspec.field(default_factory=SparseStateDetails)

    def to_wire(self) -> wire.State:
        """The state as an answer carries it."""
        return wire.State(
            self.id, self.type, self.name, self.timestamp, self.message, self.details, self.data
        )


class FlowRunRecord(msgspec.Struct):
    """The columns of a flow run that a transition reads or writes; times in seconds."""

    id: str
    name: str
    flow_id: str
    deployment_id: str | None = None
    parent_task_run_id: str | None = None
    infrastructure_pid: str | None = None
    empirical_policy: FlowRunPolicy = msgspec.field(default_factory=FlowRunPolicy)
    state_id: str | None = None
    state_type: str | None = None
    state_name: str | None = None
    state_timestamp: Timestamp | None = None
    run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0


class TaskRunRecord(msgspec.Struct):
    """The columns of a task run that a transition reads or writes; times in seconds."""

    id: str
    name: str
    task_key: str
    flow_run_id: str | None = None
    tags: tuple[str, ...] = ()
    empirical_policy: TaskRunPolicy = msgspec.field(default_factory=TaskRunPolicy)
    flow_run_run_count: int = 0
    state_id: str | None = None
    state_type: str | None = None
    state_name: str | None = None
    state_timestamp: Timestamp | None = None
    run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0


RunRecord = FlowRunRecord | TaskRunRecord

_WRITTEN_FLOW = (
    "state_id",
    "state_type",
    "state_name",
    "state_timestamp",
    "run_count",
    "expected_start_time",
    "next_scheduled_start_time",
    "start_time",
    "end_time",
    "total_run_time",
)
_WRITTEN_TASK = (*_WRITTEN_FLOW, "flow_run_run_count")


def changes(before: RunRecord, after: RunRecord) -> dict[str, Value]:
    """The columns in which two records of one run differ, with the values of `after`.

    Take `before` with `copy.copy` ahead of the decision. The policy is sparse JSON text.
    """
    found: dict[str, Value] = {}
    columns = _WRITTEN_FLOW if isinstance(after, FlowRunRecord) else _WRITTEN_TASK
    for column in columns:
        value = getattr(after, column)
        if value != getattr(before, column):
            found[column] = value
    if after.empirical_policy is not before.empirical_policy:
        found["empirical_policy"] = encode(after.empirical_policy).decode()
    return found
