"""The simulated disk, and the executor that runs on it: full, failing, slow, or without power."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import apsw
import trio
from crash.disk import Disk, Operation, PowerLoss, apply

T = TypeVar("T")


class PowerLost(Exception):
    """The machine has lost power, or the process was killed: nothing of it goes on."""


class FaultyDisk(Disk):
    """Knows at each moment what a loss of power would leave, and fails as it is told.

    `dies_in` counts down the operations before power is lost, None for never. `is_full` and
    `fails_sync` hold while they are set.
    """

    def __init__(self, files: dict[str, bytes], chance: random.Random) -> None:
        super().__init__(files)
        self._loss = PowerLoss(files)
        self._chance = chance
        self.is_dead = False
        self.is_full = False
        self.fails_sync = False
        self.dies_in: int | None = None
        self.operations = 0

    def do(self, operation: Operation) -> None:
        if self.is_dead:
            raise apsw.IOError("there is no power")
        if self.is_full and operation.kind == "write":
            raise apsw.FullError("the simulated disk is full")
        if self.fails_sync and operation.kind == "sync":
            raise apsw.IOError("the simulated disk fails to sync")
        self.operations += 1
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                if operation.kind != "sync" and self._chance.getrandbits(1):
                    self._loss.advance(operation)
                self.is_dead = True
                raise apsw.IOError("the power went")
        apply(self.files, operation)
        self._loss.advance(operation)

    def settle(self) -> None:
        """Let the operating system write what waits: the process alone has ended."""
        for name in self.files:
            self._loss.advance(Operation("sync", name))

    def after_power_loss(self) -> dict[str, bytes]:
        """What the next start finds: all that was synced, and any part of what was not."""
        return self._loss.image(self._chance if self._chance.random() < 0.8 else None)


class SimulatedExecutor:
    """Runs inline; the time that a slow disk takes is virtual. Raises `PowerLost` at the end.

    `after` is called when a function has run on a living disk, before anybody learns of it; then
    everybody else may take `steps` steps before its caller goes on, as beside a thread.
    """

    def __init__(
        self,
        disk: FaultyDisk,
        delay_s: Callable[[], float],
        steps: Callable[[], int],
        after: Callable[[], None],
        on_power_lost: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._delay_s = delay_s
        self._steps = steps
        self._after = after
        self._on_power_lost = on_power_lost

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await trio.sleep(self._delay_s())
            self._expect_power()
            try:
                return function()
            finally:
                self._expect_power()
                self._after()
                self._expect_power()
                for _ in range(self._steps()):
                    await trio.lowlevel.checkpoint()
                await trio.sleep(self._delay_s())
                self._expect_power()

    def close(self) -> None:
        pass

    def _expect_power(self) -> None:
        if self._disk.is_dead:
            self._on_power_lost()
            raise PowerLost


class Reader:
    """The writer's connection as readers see it. Now and then a read is too slow for the loop.

    The disk has no shared memory, so there is one connection; between two groups it shows what is
    committed, as a connection of its own would.
    """

    def __init__(self, connection: apsw.Connection, is_slow: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_slow = is_slow
        self.getautocommit = connection.getautocommit

    def execute(self, sql: str, args: object = ()) -> apsw.Cursor:
        if sql == "BEGIN" and self._is_slow():
            raise apsw.InterruptError("this read is too slow for the loop")
        return self._connection.execute(sql, args)  # type: ignore[arg-type]

    def set_progress_handler(self, _handler: object, _steps: int = 0) -> None:
        """Real time has no part in a simulation."""

    def close(self) -> None:
        """The writer is closed for both."""
