"""The clean-up queue against a model of it that keeps everything in dicts, in any order of events.

The model is written from the description of Prefect's queue, one message at a time and without a
database: what is delivered, to whom, how often, and what each operation is answered.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cleanup_world import LEASE_S, World, ask, id_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lictor.schema.wire.worker_channel import CleanupMessage, Operation

DELIVERIES_MAX = 3
NUMBERS = st.integers(1, 6)
OPERATIONS: list[Operation] = ["ack", "release", "renew"]


class Modelled:
    """One message of the model."""

    def __init__(self) -> None:
        self.count = 0
        self.token: str | None = None
        self.until = 0.0
        self.over: str | None = None


class Queue(RuleBasedStateMachine):
    """One pool; each reservation is by a worker of its own, so that room is never wanting."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name) / "lictor.db")
        self.model: dict[int, Modelled] = {}
        self.given: list[CleanupMessage] = []

    def teardown(self) -> None:
        self.world.close()
        self._folder.cleanup()

    @rule(number=NUMBERS)
    def enqueue(self, number: int) -> None:
        message = self.world.put(number)
        known = self.model.setdefault(number, Modelled())
        assert message.id == id_of(number)
        assert (message.ended is None) == (known.over is None)

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 2, LEASE_S]))
    def wait(self, seconds: float) -> None:
        self.world.now_s += seconds

    @rule()
    def expire(self) -> None:
        overdue = self._expire()
        assert self.world.expire() == overdue

    @rule()
    def reserve(self) -> None:
        self._expire()
        waiting = [n for n, each in self.model.items() if each.over is None and not each.token]
        reserved = self.world.reserve(ask(concurrency=1000, room=1))
        assert [number for _, number in reserved] == waiting[:1]
        if waiting:
            message = self.world.read(waiting[0])
            known = self.model[waiting[0]]
            known.count += 1
            known.token = message.reservation_token
            known.until = self.world.now_s + LEASE_S
            assert known.token is not None
            assert message.delivery_count == known.count
            self.given.append(
                CleanupMessage(
                    message_id=message.id,
                    kind=message.kind,
                    reservation_token=known.token,
                    lease_expires_at="",
                    delivery_count=known.count,
                    work_queue_id=None,
                    target=message.target,
                    data=message.data,
                )
            )

    @precondition(lambda self: self.given)
    @rule(data=st.data(), operation=st.sampled_from(OPERATIONS))
    def say(self, data: st.DataObject, operation: Operation) -> None:
        said = data.draw(st.sampled_from(self.given))
        number = next(n for n in self.model if id_of(n) == said.message_id)
        expected = self._answer(self.model[number], said.reservation_token, operation)
        assert self.world.say(operation, said).status == expected

    @invariant()
    def both_say_the_same_of_each(self) -> None:
        for number, known in self.model.items():
            stored = self.world.read(number)
            status = known.over or ("reserved" if known.token else "waiting")
            assert (stored.status, stored.delivery_count) == (status, known.count)

    def _answer(self, known: Modelled, token: str, operation: Operation) -> str:
        if known.over is not None:
            return "not_found"
        if known.token is None:
            return "not_current"
        if known.token != token:
            return "invalid_token"
        if known.until <= self.world.now_s:
            return "expired" if self._free(known) else "dead_lettered"
        if operation == "renew":
            known.until = self.world.now_s + LEASE_S
        elif operation == "ack":
            known.over = "acknowledged"
        elif not self._free(known):
            return "dead_lettered"
        return "accepted"

    def _expire(self) -> int:
        overdue = [
            each
            for each in self.model.values()
            if each.over is None and each.token and each.until <= self.world.now_s
        ]
        for each in overdue:
            self._free(each)
        return len(overdue)

    @staticmethod
    def _free(known: Modelled) -> bool:
        if known.count >= DELIVERIES_MAX:
            known.over = "dead"
            return False
        known.token = None
        return True


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
