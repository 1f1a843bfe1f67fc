"""A bug ends everything, the rim is repaired within a budget, a stop drains youngest first."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from lictor.daemon import supervisor as module
from lictor.daemon.supervisor import ActorFailed, supervising

Run = Callable[..., Awaitable[None]]


class Actor:
    """Ends when asked to, after `takes_s` seconds; writes down what happened to it in `history`."""

    def __init__(self, name: str, history: list[str], takes_s: float = 0) -> None:
        self.name = name
        self.history = history
        self.takes_s = takes_s
        self.asked = trio.Event()

    def close(self) -> None:
        self.history.append(f"{self.name} asked")
        self.asked.set()

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:
        task_status.started(f"{self.name} is ready")
        await self.asked.wait()
        await trio.sleep(self.takes_s)
        self.history.append(f"{self.name} drained")


def failing(error: Exception, after_s: float = 0) -> Run:
    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(after_s)
        raise error

    return run


async def test_actors_stop_youngest_first_and_each_has_drained_before_the_next_is_asked(
    autojump_clock: MockClock,
) -> None:
    history: list[str] = []
    actors = [Actor(name, history, takes_s=1) for name in ("journal", "hub", "edge")]
    async with supervising(drain_s=10) as supervisor:
        for actor in actors:
            value = await supervisor.core(actor.name, actor.run, actor.close)
            assert value == f"{actor.name} is ready"
        assert await supervisor.drain()
    assert history == [
        f"{name} {act}" for name in ("edge", "hub", "journal") for act in ("asked", "drained")
    ]


async def test_what_has_not_drained_by_the_deadline_is_cancelled_and_named(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    history: list[str] = []
    slow, quick = Actor("journal", history, takes_s=1_000), Actor("edge", history, takes_s=1)
    async with supervising(drain_s=10) as supervisor:
        await supervisor.core("journal", slow.run, slow.close)
        await supervisor.core("edge", quick.run, quick.close)
        assert not await supervisor.drain()
    assert trio.current_time() == pytest.approx(10 + module.SETTLE_S, abs=0.01)
    assert history == ["edge asked", "edge drained", "journal asked"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "journal" in record.getMessage()
    assert "edge" not in record.getMessage()


async def test_a_core_actor_that_fails_takes_all_down_and_the_error_names_it(
    autojump_clock: MockClock,
) -> None:
    other = Actor("journal", [])
    cause = KeyError("x")
    with pytest.RaisesGroup(
        pytest.RaisesExc(ActorFailed, match="the hub failed: KeyError: 'x'")
    ) as caught:
        async with supervising(drain_s=10) as supervisor:
            await supervisor.core("journal", other.run, other.close)
            await supervisor.core("hub", failing(cause, after_s=5), lambda: None)
            await trio.sleep_forever()
    assert caught.value.exceptions[0].__cause__ is cause
    assert other.history == []


async def test_a_core_actor_that_returns_unasked_is_a_bug(autojump_clock: MockClock) -> None:
    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    with pytest.RaisesGroup(pytest.RaisesExc(ActorFailed, match="without having been asked")):
        async with supervising(drain_s=10) as supervisor:
            await supervisor.core("hub", run, lambda: None)
            await trio.sleep_forever()


async def test_a_failure_while_draining_is_a_failure_all_the_same(
    autojump_clock: MockClock,
) -> None:
    asked = trio.Event()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await asked.wait()
        raise ValueError("half done")

    with pytest.RaisesGroup(pytest.RaisesExc(ActorFailed, match="half done")):
        async with supervising(drain_s=10) as supervisor:
            await supervisor.core("hub", run, asked.set)
            await supervisor.drain()


async def test_an_error_of_the_start_reaches_who_started_the_actor(
    autojump_clock: MockClock,
) -> None:
    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        raise OSError("no such thing")

    with pytest.RaisesGroup(pytest.RaisesExc(ActorFailed, match="no such thing")):
        async with supervising(drain_s=10) as supervisor:
            await supervisor.core("edge", run, lambda: None)


async def test_the_rim_is_started_again_in_place(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[float] = []

    async def run() -> None:
        begun.append(trio.current_time())
        if len(begun) <= module.RIM_FAILURES_MAX:
            raise ValueError("away")

    async with supervising(drain_s=10) as supervisor:
        supervisor.rim("notifier", run)
        await trio.sleep(100)
    assert len(begun) == module.RIM_FAILURES_MAX + 1
    assert len(caplog.records) == module.RIM_FAILURES_MAX


async def test_a_rim_actor_over_its_budget_is_a_bug_like_any_other(
    autojump_clock: MockClock,
) -> None:
    begun: list[float] = []

    async def run() -> None:
        begun.append(trio.current_time())
        raise ValueError("away")

    with pytest.RaisesGroup(pytest.RaisesExc(ActorFailed, match="the notifier failed more than")):
        async with supervising(drain_s=10) as supervisor:
            supervisor.rim("notifier", run)
            await trio.sleep_forever()
    assert len(begun) == module.RIM_FAILURES_MAX + 1


async def test_a_rim_actor_that_fails_seldom_is_repaired_for_ever(
    autojump_clock: MockClock,
) -> None:
    begun: list[float] = []

    async def run() -> None:
        begun.append(trio.current_time())
        await trio.sleep(module.RIM_WINDOW_S / module.RIM_FAILURES_MAX)
        raise ValueError("away")

    async with supervising(drain_s=10) as supervisor:
        supervisor.rim("notifier", run)
        await trio.sleep(50 * module.RIM_WINDOW_S)
    assert len(begun) > 10 * module.RIM_FAILURES_MAX
