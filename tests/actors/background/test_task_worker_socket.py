"""`/task_runs/subscriptions/scheduled`, message by message, and who is said to be connected."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from task_world import WorkerSocket, World
from trio.testing import wait_all_tasks_blocked

from lictor.actors import task_queue
from lictor.actors.ingress.api import task_workers
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.socket import Binary, Ping, Text
from lictor.actors.ingress.sockets import task_runs
from lictor.schema.errors import Unavailable

ACK, QUIT = {"type": "ack"}, {"type": "quit"}


def subscribe(*keys: str, client_id: str = "w") -> dict[str, Any]:
    return {"type": "subscribe", "keys": list(keys or ["task"]), "client_id": client_id}


def connect(world: World, nursery: trio.Nursery, *, legacy: bool = True) -> WorkerSocket:
    socket = WorkerSocket(legacy=legacy)
    nursery.start_soon(task_runs.deliver, socket, world.services)
    return socket


async def test_runs_come_one_at_a_time_each_after_the_acknowledgement_of_the_last(
    world: World, nursery: trio.Nursery
) -> None:
    socket = connect(world, nursery, legacy=False)
    socket.say({"type": "auth", "token": None})
    await wait_all_tasks_blocked()
    assert socket.sent == [{"type": "auth_success"}]
    await world.schedule("one")
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    await world.schedule("two")
    await wait_all_tasks_blocked()
    assert socket.runs == ["one"]
    socket.say(ACK)
    await wait_all_tasks_blocked()
    assert socket.runs == ["one", "two"]
    socket.say(ACK)
    await wait_all_tasks_blocked()
    await world.schedule("three")
    await wait_all_tasks_blocked()
    assert socket.runs == ["one", "two", "three"]
    socket.leave()


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ({"type": "hello"}, "'subscribe' message"),
        ([], "'subscribe' message"),
        (Text(b"{"), "'subscribe' message"),
        (Text(b"\xff"), "'subscribe' message"),
        (Binary(msgspec.json.encode(subscribe())), "'subscribe' message"),
        ({"type": "subscribe", "client_id": "w"}, "'keys' in subscribe message"),
        ({"type": "subscribe", "keys": [], "client_id": "w"}, "'keys' in subscribe message"),
        ({"type": "subscribe", "keys": "task", "client_id": "w"}, "'keys' in subscribe message"),
        ({"type": "subscribe", "keys": [1], "client_id": "w"}, "'keys' in subscribe message"),
        ({"type": "subscribe", "keys": ["k"] * 1001}, "at most 1000 'keys' in subscribe message"),
        ({"type": "subscribe", "keys": ["k"]}, "'client_id' in subscribe message"),
        (subscribe(client_id=""), "'client_id' in subscribe message"),
        ({"type": "subscribe", "keys": ["k"], "client_id": 7}, "'client_id' in subscribe message"),
    ],
)
async def test_an_opening_that_lacks_something_closes_the_socket(
    world: World, nursery: trio.Nursery, message: Any, missing: str
) -> None:
    socket = connect(world, nursery)
    socket.say(message)
    await wait_all_tasks_blocked()
    assert socket.closed == (4001, f"Protocol violation: expected {missing}")


@pytest.mark.parametrize("message", [{"type": "nack"}, {}, Text(b"ack"), Binary(b"")])
async def test_anything_but_an_acknowledgement_closes_the_socket_and_returns_the_run(
    world: World, nursery: trio.Nursery, message: Any
) -> None:
    await world.schedule("one")
    socket = connect(world, nursery)
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    socket.say(message)
    await wait_all_tasks_blocked()
    assert socket.closed == (4001, "Protocol violation: expected 'ack' message")
    assert world.rows() == [("one", 0, False)]


@pytest.mark.parametrize("is_delivered", [False, True])
async def test_a_worker_that_quits_is_let_go_and_its_run_goes_to_another(
    world: World, nursery: trio.Nursery, is_delivered: bool
) -> None:
    if is_delivered:
        await world.schedule("one")
    socket = connect(world, nursery)
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    socket.say(QUIT)
    await wait_all_tasks_blocked()
    assert socket.closed == (1000, "")
    assert world.queue.workers([]) == []
    assert world.rows() == [("one", 0, False)] * is_delivered
    other = connect(world, nursery)
    other.say(subscribe())
    await wait_all_tasks_blocked()
    assert other.runs == ["one"] * is_delivered
    other.leave()


async def test_a_worker_that_vanishes_leaves_its_run_to_another(
    world: World, nursery: trio.Nursery
) -> None:
    await world.schedule("one")
    first, second = connect(world, nursery), connect(world, nursery)
    first.say(subscribe(client_id="w1"))
    await wait_all_tasks_blocked()
    second.say(subscribe(client_id="w2"))
    await wait_all_tasks_blocked()
    assert (first.runs, second.runs) == (["one"], [])
    first.leave()
    await wait_all_tasks_blocked()
    assert second.runs == ["one"]
    assert [worker.identifier for worker in world.queue.workers([])] == ["w2"]
    second.leave()


async def test_an_acknowledgement_of_nothing_does_not_count_for_the_next_run(
    world: World, nursery: trio.Nursery
) -> None:
    socket = connect(world, nursery)
    socket.say(subscribe(), ACK, {"type": "hello"})
    await wait_all_tasks_blocked()
    await world.schedule("one")
    await world.schedule("two")
    await wait_all_tasks_blocked()
    assert socket.runs == ["one"]
    assert socket.closed is None
    socket.leave()


async def test_pings_are_answered_before_the_opening_while_idle_and_before_the_acknowledgement(
    world: World, nursery: trio.Nursery
) -> None:
    socket = connect(world, nursery)
    socket.say(Ping(b"1"))
    await wait_all_tasks_blocked()
    socket.say(subscribe(), Ping(b"2"))
    await wait_all_tasks_blocked()
    await world.schedule("one")
    socket.say(Ping(b"3"))
    await wait_all_tasks_blocked()
    assert socket.pongs == [b"1", b"2", b"3"]
    socket.leave()


async def test_an_acknowledgement_is_waited_for_however_long_it_takes(
    world: World, nursery: trio.Nursery, autojump_clock: object
) -> None:
    await world.schedule("one")
    first, second = connect(world, nursery), connect(world, nursery)
    first.say(subscribe())
    await wait_all_tasks_blocked()
    second.say(subscribe())
    await trio.sleep(80_000)
    assert second.runs == []
    first.say(ACK)
    await trio.sleep(80_000)
    assert second.runs == []
    first.leave()
    second.leave()


async def test_a_socket_that_cannot_be_written_returns_its_run(
    world: World, nursery: trio.Nursery
) -> None:
    await world.schedule("one")
    socket = connect(world, nursery)
    socket.is_broken = True
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    assert world.rows() == [("one", 0, False)]
    assert world.queue.workers([]) == []


async def test_one_worker_too_many_is_told_to_come_again(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "SUBSCRIBERS_MAX", 0)
    socket = connect(world, nursery)
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    assert socket.closed is not None
    assert socket.closed[0] == 1013


async def test_a_store_that_cannot_be_read_tells_the_worker_to_come_again(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(query: object) -> None:
        raise Unavailable("The disk failed.")

    monkeypatch.setattr(world.readers, "inline", fail)
    socket = connect(world, nursery)
    socket.say(subscribe())
    await wait_all_tasks_blocked()
    assert socket.closed == (1013, "The disk failed.")


async def ask(world: World, body: bytes) -> tuple[int, Any]:
    handle = build_handle(world.services, task_workers.OPERATIONS, world.settings)
    answer = await handle(Request("POST", "/api/task_workers/filter", b"", [], body))
    return answer.status, msgspec.json.decode(answer.body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ["w1", "w2"]),
        (b"{}", ["w1", "w2"]),
        (b'{"task_worker_filter": null}', ["w1", "w2"]),
        (b'{"task_worker_filter": {"task_keys": []}}', ["w1", "w2"]),
        (b'{"task_worker_filter": {"task_keys": ["b", "x"]}}', ["w2"]),
        (b'{"task_worker_filter": {"task_keys": ["x"]}}', []),
    ],
)
async def test_connected_workers_are_found_by_the_tasks_they_serve(
    world: World, body: bytes, expected: list[str]
) -> None:
    with world.queue.subscribe(["a"], "w1"), world.queue.subscribe(["a", "b"], "w2"):
        status, found = await ask(world, body)
    assert status == 200
    assert [worker["identifier"] for worker in found] == expected
    if "w2" in expected:
        assert found[-1]["task_keys"] == ["a", "b"]
        assert found[-1]["timestamp"] <= world.mint.now()


@pytest.mark.parametrize("keys", [b'"x"', b"null", b"[1]"])
async def test_a_filter_of_workers_that_is_none_is_refused(world: World, keys: bytes) -> None:
    status, answer = await ask(world, b'{"task_worker_filter": {"task_keys": %s}}' % keys)
    assert status == 422
    assert answer["exception_detail"][0]["loc"][:3] == ["body", "task_worker_filter", "task_keys"]
