"""What the rules may ask of the store and have done to it.

The commands of `schema/commands/` implement these on their transaction; tests on dictionaries.
Everything asked or done is part of the transition's own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class DeploymentLimit(msgspec.Struct, frozen=True):
    """A deployment's concurrency limit, and what becomes of a run when it is reached.

    `occupied` slots are in use; `grace_s` is how long a submitted run may take to start, None for
    the server's default; `cancels_new`: the run is cancelled instead of put off.
    """

    id: str
    limit: int
    active: bool
    occupied: float
    cancels_new: bool = False
    grace_s: float | None = None


class NoTagSlots(msgspec.Struct, frozen=True):
    """No slot is left on `tags`; one may be in `wait_s` seconds, or, if that is None, never."""

    tags: tuple[str, ...]
    wait_s: float | None


class FlowWorld(Protocol):
    """The store, as the rules of flow runs see it."""

    def has_state_at(self, run_id: str, timestamp: Timestamp) -> bool:
        """Whether a state of this run has exactly this timestamp."""
        ...

    def delete_flow_run_inputs(self, flow_run_id: str, keys: Iterable[str]) -> None:
        """Forget the inputs of a flow run under these keys; missing ones are no error."""
        ...

    def has_deployment(self, deployment_id: str) -> bool:
        """Whether this deployment exists."""
        ...

    def deployment_limit(self, deployment_id: str) -> DeploymentLimit | None:
        """The concurrency limit of a deployment; None if it has none, or does not exist."""
        ...

    def take_slot(self, limit_id: str, duration_s: float) -> str | None:
        """Take a slot of a limit for the run; the id of its lease, None if no slot is free."""
        ...

    def renew_lease(self, lease_id: str, duration_s: float | None) -> bool:
        """Let a lease end `duration_s` seconds from now, None for never; False if it has ended."""
        ...

    def release_lease(self, lease_id: str) -> None:
        """Give back what a lease holds; one that has ended is no error."""
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

    def take_tag_slots(self, tags: Sequence[str]) -> str | NoTagSlots | None:
        """Take a slot of the limit on each of `tags`, all or none, unless the run holds them.

        The id of the lease over them; None when there is nothing to take.
        """
        ...

    def release_tag_slots(self, tags: Sequence[str]) -> None:
        """Give back every lease of the run that is over the limit of one of `tags`."""
        ...

    def release_lease(self, lease_id: str) -> None:
        """Give back what a lease holds; one that has ended is no error."""
        ...
