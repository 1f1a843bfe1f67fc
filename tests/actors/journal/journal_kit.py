"""Jobs that write notes, a journal that serves them, and an executor that can be held."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio.testing

from lictor.actors.executor import InlineExecutor
from lictor.actors.journal import Journal
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Conflict

T = TypeVar("T")


class HeldExecutor(InlineExecutor):
    """Holds every call until `open`, so that a test decides what waits together."""

    def __init__(self) -> None:
        self.gate = trio.Event()

    async def run(
        self, function: Callable[[], T], on_cancel: Callable[[], None] | None = None
    ) -> T:
        await self.gate.wait()
        return await super().run(function)


def add(text: str) -> Callable[[Tx], str]:
    def job(tx: Tx) -> str:
        tx.run("INSERT INTO note (text) VALUES (?)", (text,))
        tx.publish(text)
        return text

    return job


def add_and_fail(text: str) -> Callable[[Tx], str]:
    def job(tx: Tx) -> str:
        add(text)(tx)
        raise Conflict(f"{text} is refused")

    return job


@asynccontextmanager
async def serving(journal: Journal):  # type: ignore[no-untyped-def]
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield
        journal.close()


async def all_answers(journal: Journal, *jobs: Callable[[Tx], object]) -> list[object]:
    """Write all at once, so that they share a group; each job's value or exception."""
    answers: list[object] = [None] * len(jobs)

    async def write(index: int, job: Callable[[Tx], object]) -> None:
        try:
            answers[index] = await journal.write(job)
        except Exception as error:
            answers[index] = error

    async with trio.open_nursery() as nursery:
        for index, job in enumerate(jobs):
            nursery.start_soon(write, index, job)
    return answers
