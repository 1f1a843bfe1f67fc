"""What a history is made of, drawn from its seed: clients, pace, faults, and rare branches.

The rare branches are FoundationDB's *buggify*: limits so small that a full mailbox, a group of one
or a reader that falls behind, which a year of running may not show, happen all the time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

from lictor.actors import event_pages, events, liveness, logs
from lictor.actors.checkpointer import Checkpointer
from lictor.actors.events import EventHub
from lictor.actors.fanout import Fanout
from lictor.actors.journal import Journal
from lictor.actors.logs import LogWriter
from lictor.actors.orchestrator import Orchestrator
from lictor.schema.backends import sqlite

PACES_S = (0.002, 0.05, 1.0, 20.0, 400.0)
"""Mean times that a client thinks between two requests: from a burst to a quiet day."""
CLOCK_FAULTS = ("wall clock", "suspended", "stopped process")
FAULTS = (
    "power", "power inside a commit", "power after a commit", "kill", "stop", "full disk",
    "failing sync", *CLOCK_FAULTS,
)  # fmt: skip

BEGINNINGS_NS = (
    1_795_000_000_000_000_000,
    1_792_890_000_000_000_000 - 1_800_000_000_000,
    1_774_746_000_000_000_000 - 1_800_000_000_000,
)
"""When histories begin: on some day, and half an hour before clocks are set back, or forward."""

FIRST_SILENCE_S = 600.0
"""Instead of an hour, which most histories would only wait for."""


class Fault(NamedTuple):
    """One of `FAULTS`, `after_s` seconds after the one before; `amount` means what it needs."""

    after_s: float
    kind: str
    amount: float


class Plan:
    """Everything about a history that is decided before it begins."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"plan {seed}")
        self.seed = seed
        self.pace_s = chance.choice(PACES_S)
        self.runners = chance.randint(2, 4)
        self.runs_each = chance.randint(1, 4)
        self.reporters = chance.randint(1, 2)
        self.shippers = chance.randint(0, 2)
        self.followers = chance.randint(1, 3)
        self.tails = chance.randint(0, 2)
        self.intruders = chance.randint(0, 2)
        self.deserters = chance.randint(0, 2)
        self.holders = chance.choice([0, 2, 4])
        self.submitters = chance.choice([0, 1, 2])
        self.workers = chance.randint(1, 3)
        self.timeouts = {
            "late_runs_after_s": chance.choice([0.0, 15.0]),
            "cancelling_timeout_s": chance.choice([30.0, 300.0]),
            "pending_timeout_s": chance.choice([60.0, 900.0]),
            "heartbeat_timeout_s": chance.choice([30.0, 600.0]),
            "task_hold_s": chance.choice([10.0, 60.0]),
        }
        self.planners = chance.choice([0, 0, 0, 1, 1])
        self.pool_workers = chance.randint(2, 3)
        self.servers = chance.randint(1, 2)
        if self.planners:
            # Schedules are much work: little else beside them.
            self.runners = self.reporters = self.followers = self.workers = self.runs_each = 1
            self.shippers = self.tails = self.submitters = 0
            self.holders = min(self.holders, 2)
        self.begin_ns = chance.choice(BEGINNINGS_NS)
        self.restart_s = chance.choice([0.5, 0.5, 100.0, 1000.0])
        self.vanish = chance.choice([0.0, 0.02, 0.1])
        self.repeat = chance.choice([0.0, 0.05, 0.2])
        self.slow_disk = chance.choice([0.0, 0.0, 0.05, 0.3])
        self.slow_disk_s = chance.choice([0.001, 0.05, 2.0])
        self.slow_thread = chance.choice([0.0, 0.5])
        self.slow_read = chance.choice([0.0, 0.0, 0.3])
        self.clock_grain_ns = chance.choice([1, 1, 1_000_000, 15_625_000])
        self.limits = dict(_limits(chance)) | {(liveness, "FIRST_SILENCE_S"): FIRST_SILENCE_S}
        self.faults = [self._fault(chance) for _ in range(chance.choice([0, 1, 2, 3, 5]))]
        self.scheduler = {
            "scheduler_rest_s": chance.choice([1.0, 60.0]),
            "scheduler_runs_min": chance.choice([1, 3]),
            "scheduler_runs_max": chance.choice([5, 100]),
            "scheduler_ahead_min_s": self.unit_s * chance.choice([0, 4, 12]),
            "scheduler_ahead_max_s": chance.choice([200 * self.unit_s, 8_640_000.0]),
            "work_queue_polled_s": 2 * chance.choice([self.poll_s, self.slow_poll_s]),
            "deployment_polled_s": 2 * chance.choice([self.poll_s, self.slow_poll_s]),
        }

    @property
    def unit_s(self) -> float:
        """About what schedules take from one run to the next."""
        return max(1.0, self.pace_s)

    @property
    def work_s(self) -> float:
        """How long a third of a scheduled run takes on average."""
        return min(5.0, self.pace_s)

    @property
    def poll_s(self) -> float:
        """How often those who take runs ask for them."""
        return max(5.0, self.pace_s / 2)

    @property
    def slow_poll_s(self) -> float:
        """The same, once there is little to take."""
        return max(self.poll_s, self.settle_s / 20)

    @property
    def is_prompt(self) -> bool:
        """Whether nothing but faults keeps the server from being done within a second."""
        return (Journal, "mailbox_limit") not in self.limits and (
            not self.slow_disk or self.slow_disk_s < 0.01
        )

    @property
    def settle_s(self) -> float:
        """How long everything needs at the end to come to rest.

        The clock may have been set back after a deadline was set, and the longest silence between
        two heartbeats is many thoughts long.
        """
        longest_s = max(*self.timeouts.values(), FIRST_SILENCE_S, 60 * self.pace_s)
        return 300.0 + 1.5 * longest_s + self.set_back_s

    @property
    def set_back_s(self) -> float:
        """By how much the wall clock is set back, all in all."""
        amounts = [fault.amount for fault in self.faults if fault.kind == "wall clock"]
        return -sum(amount for amount in amounts if amount < 0)

    def __str__(self) -> str:
        limits = {f"{owner.__name__}.{name}": value for (owner, name), value in self.limits.items()}
        return f"plan: {vars(self) | {'limits': limits}}"

    def _fault(self, chance: random.Random) -> Fault:
        kind = chance.choice(FAULTS + CLOCK_FAULTS)
        after_s = chance.expovariate(1 / (self.pace_s * 12))
        if kind == "power inside a commit":
            amount: float = chance.randrange(60)
        elif kind == "power after a commit":
            amount = chance.randrange(20)
        elif kind == "wall clock":
            amount = chance.choice([-3600.0, 3600.0, -0.5, -60.0, 60.0])
        elif kind in ("suspended", "stopped process"):
            amount = chance.choice([10.0, 600.0, 86_400.0])
        else:
            amount = self.pace_s * chance.uniform(1, 10)
        return Fault(after_s, kind, amount)


_SQUEEZED: tuple[tuple[Any, str, tuple[int, ...]], ...] = (
    (Journal, "mailbox_limit", (1, 2, 5)),
    (Journal, "group_limit", (1, 2, 7)),
    (Orchestrator, "in_flight_limit", (1, 3)),
    (EventHub, "batches_waiting_max", (1, 2)),
    (EventHub, "bytes_waiting_max", (1, 3000)),
    (LogWriter, "batches_waiting_max", (1, 2)),
    (LogWriter, "bytes_waiting_max", (1, 500)),
    (Fanout, "waiting_bytes_max", (1, 1500)),
    (Fanout, "subscribers_max", (2,)),
    (Checkpointer, "passive_pages", (1, 20)),
    (Checkpointer, "reset_pages", (1, 60)),
    (events, "EVENTS_PER_JOB", (1, 3)),
    (sqlite, "PAGE_CACHE_KIB", (8, 40)),
    (logs, "BATCHES_PER_JOB", (1, 2)),
    (event_pages, "PAGE_EVENTS", (2, 7)),
    (event_pages, "PAGES_KEPT", (1, 2)),
)
"""Keyword defaults of constructors, and constants of modules, with values that are rare."""


def _limits(chance: random.Random) -> Iterator[tuple[tuple[Any, str], int]]:
    share = chance.choice([0.0, 0.2, 0.6])
    for owner, name, values in _SQUEEZED:
        value = chance.choice(values)
        if chance.random() < share:
            yield (owner, name), value


@contextmanager
def squeezed(limits: dict[tuple[Any, str], float]) -> Iterator[None]:
    """Inside the block these limits are what the plan says."""
    with ExitStack() as stack:
        for (owner, name), value in limits.items():
            if isinstance(owner, type):
                defaults = owner.__init__.__kwdefaults__  # type: ignore[misc]
                assert name in defaults, f"{owner.__name__} has no limit {name}"
                stack.enter_context(mock.patch.dict(defaults, {name: value}))
            else:
                stack.enter_context(mock.patch.object(owner, name, value))
        yield
