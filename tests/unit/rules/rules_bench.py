"""A clock that stands still, a store in dictionaries, and short ways to states and transitions."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from lictor.config.settings import Settings
from lictor.schema import times
from lictor.schema.mint import Mint
from lictor.schema.rules import engine, policies
from lictor.schema.rules.records import FlowRunRecord, State, TaskRunRecord
from lictor.schema.rules.world import DeploymentLimit, FlowRunOfTask, NoTagSlots
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import SparseStateDetails
from lictor.schema.wire.task_runs import TaskRunPolicy

NOON_S = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
NOON = "2026-03-01T12:00:00.000000Z"
RESULT = {"type": "reference", "storage": "here"}
UNPERSISTED = {"type": "unpersisted"}


class Clock:
    """Nanoseconds that move only when told to."""

    def __init__(self) -> None:
        self.ns = NOON_S * 1_000_000_000

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class World:
    """The store of both kinds of runs; it remembers what was done to it."""

    def __init__(self) -> None:
        self.deployments = {"deployment"}
        self.limit: DeploymentLimit | None = None
        self.leases: dict[str, float | None] = {}
        self.leases_made = 0
        self.tag_slots: NoTagSlots | None = None
        self.tags_taken: dict[str, tuple[str, ...]] = {}
        self.timestamps: dict[str, list[str]] = {}
        self.inputs_deleted: list[tuple[str, list[str]]] = []
        self.flow_run: FlowRunOfTask | None = FlowRunOfTask(1, "RUNNING")
        self.flow_run_lookups = 0
        self.cache: list[tuple[str, str | None, str]] = []
        self.states: dict[str, State] = {}
        self.queue: list[tuple[str, str, bool]] = []

    def has_state_at(self, run_id: str, timestamp: str) -> bool:
        return timestamp in self.timestamps.get(run_id, ())

    def delete_flow_run_inputs(self, flow_run_id: str, keys: Iterable[str]) -> None:
        self.inputs_deleted.append((flow_run_id, list(keys)))

    def flow_run_of_task(self, flow_run_id: str) -> FlowRunOfTask | None:
        self.flow_run_lookups += 1
        return self.flow_run

    def cached_state(self, cache_key: str, now: str) -> State | None:
        for key, expiration, state_id in reversed(self.cache):
            if key == cache_key and (expiration is None or expiration > now):
                return copy.deepcopy(self.states.get(state_id))
        return None

    def insert_cache(self, cache_key: str, expiration: str | None, state_id: str) -> None:
        self.cache.append((cache_key, expiration, state_id))

    def enqueue_task_run(self, task_key: str, task_run_id: str, *, retry: bool) -> None:
        self.queue.append((task_key, task_run_id, retry))

    # Slots: as many leases as the limit has room for, each for so many seconds

    def has_deployment(self, deployment_id: str) -> bool:
        return deployment_id in self.deployments

    def deployment_limit(self, deployment_id: str) -> DeploymentLimit | None:
        if self.limit is None or not self.has_deployment(deployment_id):
            return None
        return msgspec.structs.replace(self.limit, occupied=len(self.leases))

    def take_slot(self, limit_id: str, duration_s: float) -> str | None:
        assert self.limit is not None
        assert self.limit.id == limit_id
        return None if len(self.leases) >= self.limit.limit else self._lease(duration_s)

    def _lease(self, duration_s: float | None) -> str:
        self.leases_made += 1
        self.leases[f"lease-{self.leases_made}"] = duration_s
        return f"lease-{self.leases_made}"

    def renew_lease(self, lease_id: str, duration_s: float | None) -> bool:
        if lease_id not in self.leases:
            return False
        self.leases[lease_id] = duration_s
        return True

    def release_lease(self, lease_id: str) -> None:
        self.leases.pop(lease_id, None)
        self.tags_taken.pop(lease_id, None)

    def take_tag_slots(self, tags: Sequence[str]) -> str | NoTagSlots | None:
        if self.tag_slots is not None:
            return self.tag_slots
        lease_id = self._lease(None)
        self.tags_taken[lease_id] = tuple(tags)
        return lease_id

    def release_tag_slots(self, tags: Sequence[str]) -> None:
        held = {id_ for id_, over in self.tags_taken.items() if set(over) & set(tags)}
        for lease_id in held:
            self.release_lease(lease_id)

    def write(self, run_id: str, state: State) -> None:
        self.timestamps.setdefault(run_id, []).append(state.timestamp)
        self.states[state.id] = state


class Bench:
    """Runs in, transitions out; every state that a transition leaves to write is written."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.mint = Mint(self.clock, random.Random(seed))
        self.world = World()
        self.settings = Settings()

    def at(self, seconds: float) -> str:
        """The moment `seconds` from now."""
        return times.shift(self.mint.now(), seconds)

    def state(
        self,
        type_: str,
        name: str | None = None,
        *,
        message: str | None = None,
        data: Any = None,
        **details: Any,
    ) -> State:
        if type_ == "SCHEDULED":
            details.setdefault("scheduled_time", self.mint.now())
        return State(
            self.mint.id(),
            type_,
            name or type_.capitalize(),
            self.mint.now(),
            message,
            data,
            SparseStateDetails(**details),
        )

    def flow(
        self,
        run: FlowRunRecord,
        current: State | None,
        proposed: State,
        policy: engine.Policy[engine.FlowTransition] = policies.FLOW_CORE,
        client_version: str | None = None,
    ) -> engine.FlowTransition:
        transition = engine.FlowTransition(
            run, current, proposed, self.world, self.mint, self.settings, client_version
        )
        engine.begin(policy, transition)
        if transition.proposed is not None:
            self.world.write(run.id, transition.proposed)
        return engine.finish(transition)

    def task(
        self,
        run: TaskRunRecord,
        current: State | None,
        proposed: State,
        policy: engine.Policy[engine.TaskTransition] = policies.TASK_CORE,
    ) -> engine.TaskTransition:
        transition = engine.TaskTransition(
            run, current, proposed, self.world, self.mint, self.settings
        )
        engine.begin(policy, transition)
        if transition.proposed is not None:
            self.world.write(run.id, transition.proposed)
        return engine.finish(transition)


def flow_run(policy: dict[str, Any] | None = None, **columns: Any) -> FlowRunRecord:
    return FlowRunRecord(
        "run", "brave-bear", "flow", empirical_policy=FlowRunPolicy(**policy or {}), **columns
    )


def task_run(policy: dict[str, Any] | None = None, **columns: Any) -> TaskRunRecord:
    columns.setdefault("flow_run_id", "run")
    return TaskRunRecord(
        "task", "add-0", "add", empirical_policy=TaskRunPolicy(**policy or {}), **columns
    )


def verdict(transition: engine.Transition[Any]) -> tuple[str, str | None]:
    """The status, and the type of the state that was written."""
    return transition.status, None if transition.proposed is None else transition.proposed.type


COLUMNS = (
    *("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"),
    *("COMPLETED", "FAILED", "CRASHED", "CANCELLED"),
)
"""The columns of the tables of outcomes."""


def cells(table: str) -> list[tuple[str | None, str, str]]:
    """(from, to, outcome) of a table of all transitions; asserts that it is complete."""
    rows = [line.split() for line in table.strip().splitlines()]
    found = [
        (None if row[0] == "none" else row[0], to_type, outcome)
        for row in rows
        for to_type, outcome in zip(COLUMNS, row[1:], strict=True)
    ]
    assert [row[0] for row in rows] == list(dict.fromkeys(row[0] for row in rows))
    assert {from_type for from_type, _, _ in found} == {None, *engine.STATE_TYPES}
    assert {to_type for _, to_type, _ in found} == set(engine.STATE_TYPES)
    return found


def marks(row: str) -> list[tuple[str, str]]:
    """(to, outcome) of one row of such a table."""
    return list(zip(COLUMNS, row.split(), strict=True))


def current_state(bench: Bench, type_: str | None, **details: Any) -> State | None:
    """The state a run has been in for a second."""
    if type_ is None:
        return None
    current = bench.state(type_, **details)
    bench.clock.advance(1)
    return current
