"""Where synchronous database work runs: a thread of its own, or inline.

An executor is injected, because trio's autojump clock does not wait for threads: a simulation runs
everything inline and stays deterministic.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import outcome
import trio

T = TypeVar("T")


class ExecutorClosed(Exception):
    """Something was to run after `close`."""


class Executor(Protocol):
    """Runs one function at a time, in the order of the calls."""

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        """The function's result, or its exception, whichever it is and however long it takes.

        It is not cancellable once it has begun: the function holds a connection, so its caller
        stays until it has ended. `on_cancel` is called, on the loop, when the caller is cancelled
        meanwhile; it may make the function end sooner.

        Raises:
            ExecutorClosed: `close` was called before.
        """
        ...

    def close(self) -> None:
        """Finish what was begun and let go of the thread."""
        ...


class InlineExecutor:
    """Runs on the calling task, with one checkpoint. For simulations and tests."""

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await trio.lowlevel.checkpoint()
        return function()

    def close(self) -> None:
        pass


class ThreadExecutor:
    """One dedicated thread: about half the latency of `trio.to_thread` (no worker hand-over)."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_closed:
            raise ExecutorClosed(f"The executor {self._thread.name} is closed.")
        token = trio.lowlevel.current_trio_token()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if on_cancel is not None:
                on_cancel()
            return trio.lowlevel.Abort.FAILED

        self._calls.put((function, trio.lowlevel.current_task(), token))
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def close(self) -> None:
        self._is_closed = True
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, task, token = call
            result = outcome.capture(function)
            # Without its trio run the caller is gone; the next call may come from another run.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)
            del function, task, token, result, call
