"""Executors: results, exceptions, cancellation, closing."""

import threading
from collections.abc import Iterator

import pytest
import trio

from lictor.actors.executor import ExecutorClosed, ThreadExecutor


@pytest.fixture
def executor() -> Iterator[ThreadExecutor]:
    executor = ThreadExecutor("test")
    yield executor
    executor.close()


async def test_results_come_back_from_one_thread_in_the_order_of_the_calls(
    executor: ThreadExecutor,
) -> None:
    ran: list[int] = []
    threads = set()

    def work(number: int) -> int:
        ran.append(number)
        threads.add(threading.get_ident())
        return number * 2

    answers: dict[int, int] = {}

    async def call(number: int) -> None:
        answers[number] = await executor.run(lambda: work(number))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(call, number)
    assert sorted(ran) == list(range(20))
    assert answers == {number: number * 2 for number in range(20)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_an_exception_comes_back_and_the_thread_lives_on(executor: ThreadExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await executor.run(lambda: exec("raise SystemExit(3)"))
    assert await executor.run(lambda: 5) == 5


async def test_a_cancelled_caller_stays_until_its_function_has_ended_and_is_told_at_once(
    executor: ThreadExecutor,
) -> None:
    may_end = threading.Event()
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()
    ended = []

    def work() -> str:
        token.run_sync_soon(begun.set)
        may_end.wait()
        ended.append(True)
        return "done"

    async def call() -> None:
        # The only way out is `on_cancel`: without it the function would wait for ever.
        assert await executor.run(work, on_cancel=may_end.set) == "done"
        assert ended

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await begun.wait()
            assert not ended
            scope.cancel()
    assert ended


async def test_a_caller_cancelled_beforehand_begins_nothing(executor: ThreadExecutor) -> None:
    ran: list[bool] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await executor.run(lambda: ran.append(True))
    assert scope.cancelled_caught
    await executor.run(lambda: None)
    assert not ran


async def test_nobody_waits_for_a_closed_executor() -> None:
    executor = ThreadExecutor("test")
    executor.close()
    with pytest.raises(ExecutorClosed):
        await executor.run(lambda: 1)


def test_an_executor_outlives_a_trio_run(executor: ThreadExecutor) -> None:
    async def main() -> int:
        return await executor.run(lambda: 7)

    assert trio.run(main) == 7
    assert trio.run(main) == 7
