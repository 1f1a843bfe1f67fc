"""Keeps the actors: starts them in order, ends the process for a bug, stops them in reverse.

Theory: a half-alive daemon is what strands runs. So a core actor that raises, or that returns
without having been asked to, takes the process down; state is in the file and a restart takes
half a second. The rim (what nobody's answer depends on) is restarted in place, but a rim actor that
fails more than its budget allows is a bug like any other.

Stopping closes the youngest core actor first and waits until it has drained, then the next: the
edge stops taking requests while the journal still writes those in flight. One deadline is over all
of it, `SETTLE_S` after `drain_s`; what has not drained by then is cancelled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from lictor.actors.observe import observe

_log = logging.getLogger("lictor.supervisor")

SETTLE_S = 2.0
"""Time after the drain: the edge cuts its last requests at `drain_s`, the rest still writes."""
RIM_FAILURES_MAX = 5
"""Failures of one rim actor within `RIM_WINDOW_S` seconds that are still repaired in place."""
RIM_WINDOW_S = 60.0
RIM_PAUSE_S = 1.0


class ActorFailed(Exception):
    """The actor called `name` ended when it should not have. The cause is the actor's own error."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the {name} {reason}")
        self.name = name


class _Core:
    """A running core actor: how to ask it to end, and when it has."""

    def __init__(self, name: str, close: Callable[[], object]) -> None:
        self.name = name
        self.close = close
        self.closing = False
        self.ended = trio.Event()


class Supervisor:
    """Use `supervising()`. Actors run in its nursery."""

    def __init__(self, nursery: trio.Nursery, drain_s: float) -> None:
        self._nursery = nursery
        self._drain_s = drain_s
        self._cores: list[_Core] = []

    async def core(
        self, name: str, run: Callable[..., Awaitable[None]], close: Callable[[], object]
    ) -> Any:
        """Start a core actor; what its `task_status.started(…)` gave, once it is ready.

        `close` asks it to drain: `run` must return soon after. Start in the order of dependence,
        the journal first, the edge last.
        """
        actor = _Core(name, close)
        value = await self._nursery.start(self._run_core, actor, run)
        self._cores.append(actor)
        return value

    def rim(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Start an actor that is restarted in place. It may return; it is cancelled at the stop."""
        self._nursery.start_soon(self._run_rim, name, run)

    async def drain(self) -> bool:
        """Stop all core actors, youngest first; whether they drained before the deadline."""
        with trio.move_on_after(self._drain_s + SETTLE_S) as deadline:
            for actor in reversed(self._cores):
                actor.closing = True
                actor.close()
                await actor.ended.wait()
        late = [actor.name for actor in self._cores if not actor.ended.is_set()]
        for actor in self._cores:
            actor.closing = True
        if late:
            _log.warning(
                "stopped with work unfinished after drain_s=%g s: %s",
                self._drain_s,
                ", ".join(late),
            )
        self._nursery.cancel_scope.cancel()
        return not deadline.cancelled_caught

    async def _run_core(
        self,
        actor: _Core,
        run: Callable[..., Awaitable[None]],
        *,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        began = trio.current_time()
        observe(f"lictor.{actor.name}.actor.start")
        try:
            await run(task_status=task_status)
        except Exception as error:
            raise ActorFailed(actor.name, f"failed: {type(error).__name__}: {error}") from error
        finally:
            actor.ended.set()
            observe(f"lictor.{actor.name}.actor.stop", duration_s=trio.current_time() - began)
        if not actor.closing:
            raise ActorFailed(actor.name, "ended without having been asked to")

    async def _run_rim(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        failures: deque[float] = deque(maxlen=RIM_FAILURES_MAX)
        while True:
            try:
                await run()
            except Exception as error:
                now = trio.current_time()
                if len(failures) == RIM_FAILURES_MAX and now - failures[0] <= RIM_WINDOW_S:
                    reason = f"failed more than {RIM_FAILURES_MAX} times in {RIM_WINDOW_S:g} s"
                    raise ActorFailed(name, reason) from error
                failures.append(now)
                _log.error("the %s failed and is started again", name, exc_info=error)
                await trio.sleep(RIM_PAUSE_S)
            else:
                return


@asynccontextmanager
async def supervising(drain_s: float) -> AsyncIterator[Supervisor]:
    """A supervisor whose actors live inside the block; leaving it cancels whatever still runs.

    Raises:
        ActorFailed: in an exception group, when an actor ended that should not have.
    """
    async with trio.open_nursery() as nursery:
        yield Supervisor(nursery, drain_s)
        nursery.cancel_scope.cancel()
