"""What the rules may ask of the store and have done to it.

The commands of `schema/commands/` implement these on their transaction; tests on dictionaries.
Everything asked or done is part of the transition's own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from lictor.schema.rules.records import State
from lictor.schema.times import Timestamp


class FlowRunOfTask(msgspec.Struct, frozen=True):
    """What a task run's rules need to know of its flow run. `state_type` None: it has no state."""

    run_count: int
    state_type: str | None
    pause_timeout: Timestamp | None = None
    pause_reschedule: bool = False


class FlowWorld(Protocol):
    """The store, as the rules of flow runs see it."""

    def has_state_at(self, run_id: str, timestamp: Timestamp) -> bool:
        """Whether a state of this run has exactly this timestamp."""
        ...

    def delete_flow_run_inputs(self, flow_run_id: str, keys: Iterable[str]) -> None:
        """Forget the inputs of a flow run under these keys; missing ones are no error."""
        ...


class TaskWorld(Protocol):
    """The store, as the rules of task runs see it."""

    def has_state_at(self, run_id: str, timestamp: Timestamp) -> bool:
        """Whether a state of this run has exactly this timestamp."""
        ...

    def flow_run_of_task(self, flow_run_id: str) -> FlowRunOfTask | None:
        """The flow run a task run belongs to; None if it is gone."""
        ...

    def cached_state(self, cache_key: str, now: Timestamp) -> State | None:
        """The state behind the newest cache entry of this key that has not expired at `now`.

        The answer is the caller's to change. None as well when that state is gone.
        """
        ...

    def insert_cache(self, cache_key: str, expiration: Timestamp | None, state_id: str) -> None:
        """Let later runs with this key find the state `state_id`."""
        ...

    def enqueue_task_run(self, task_key: str, task_run_id: str, *, retry: bool) -> None:
        """Deliver the task run to a worker that serves `task_key`, once this is on disk."""
        ...
