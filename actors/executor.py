"""Where synchronous database work runs: a thread of its own, or inline.

An executor is injected, because trio's autojump clock does not wait for threads: a simulation runs
everything inline and stays deterministic.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import outcome
import trio

T = TypeVar("T")


class Executor(Protocol):
    """Runs one function at a time, in the order of the calls."""

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result, or its exception. Not cancellable once it has begun."""
        ...

    def close(self) -> None:
        """Finish what was begun and let go of the thread."""
        ...


class InlineExecutor:
    """Runs on the calling task, with one checkpoint. For simulations and tests."""

    async def run(self, function: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return function()

    def close(self) -> None:
        pass


class ThreadExecutor:
    """One dedicated thread: about half the latency of `trio.to_thread` (no worker hand-over).

    A caller that is cancelled keeps waiting until its function has ended, because the function
    holds a connection; deadlines are the function's own affair (a progress handler).
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        token = trio.lowlevel.current_trio_token()
        self._calls.put((function, trio.lowlevel.current_task(), token))
        result: T = await trio.lowlevel.wait_task_rescheduled(_cannot_abort)
        return result

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, task, token = call
            result = outcome.capture(function)
            try:
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)
            except trio.RunFinishedError:
                return
            del function, task, token, result, call


def _cannot_abort(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
