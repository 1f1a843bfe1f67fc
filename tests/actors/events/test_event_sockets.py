"""`/events/in` and `/events/out`, frame by frame."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
import trio
from event_world import NOW, FakeSocket, World, body, event, ping
from trio.testing import wait_all_tasks_blocked

from lictor.actors.ingress.socket import Binary
from lictor.actors.ingress.sockets import events as sockets
from lictor.actors.journal import GroupFailed
from lictor.schema import times
from lictor.schema.errors import Unavailable


def begin_in(world: World, nursery: trio.Nursery, *, legacy: bool = True) -> FakeSocket:
    socket = FakeSocket(legacy=legacy)
    nursery.start_soon(sockets.receive, socket, world.services)
    return socket


async def test_a_pong_follows_the_commit_of_what_came_before_its_ping(
    world: World, nursery: trio.Nursery
) -> None:
    socket = begin_in(world, nursery)
    world.executor.hold()
    socket.give(ping(b"first"), body(1), body(2), ping(b"second"))
    socket.give(body(3), ping(b"third"))
    await wait_all_tasks_blocked()
    assert socket.pongs == [b"first"]
    assert world.stored() == []
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert socket.pongs == [b"first", b"second", b"third"]
    assert world.stored() == [event(1), event(2), event(3)]


async def test_frames_are_read_on_while_a_commit_is_under_way(
    world: World, nursery: trio.Nursery
) -> None:
    socket = begin_in(world, nursery)
    world.executor.hold()
    for number in range(4):
        socket.give(body(number))
        await wait_all_tasks_blocked()
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert len(world.stored()) == 4
    assert world.executor.calls == 2


async def test_only_so_many_batches_are_under_way(world: World, nursery: trio.Nursery) -> None:
    socket = begin_in(world, nursery)
    world.executor.hold()
    for number in range(30):
        socket.give(body(number), ping(b"%d" % number))
    await wait_all_tasks_blocked()
    assert len(socket._take.receive_nowait()) == 2
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert socket.pongs == sorted(socket.pongs, key=int)
    assert len(socket.pongs) == 29


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        body(1).replace(b'"thing.1"', b"7"),
        body(1).replace(b"prefect.resource.id", b"name"),
        body(1, event="e" * 1025),
        body(1, related=[{"prefect.resource.id": "x"}]),
        body(1, related=[{"prefect.resource.id": "x", "prefect.resource.role": "r"}] * 101),
        body(1, resource={"prefect.resource.id": "x", **{str(n): "" for n in range(500)}}),
        body(1, occurred="0001-01-01T00:00:00+05:00"),
        body(1, payload={"x": "y" * 1_500_000}),
        Binary(body(1)),
    ],
)
async def test_what_is_no_event_is_passed_over_with_a_warning(
    world: World, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, frame: Any
) -> None:
    socket = begin_in(world, nursery)
    with caplog.at_level(logging.WARNING):
        socket.give(frame, body(2), ping())
        await wait_all_tasks_blocked()
    assert socket.pongs == [b"p"]
    assert world.stored() == [event(2)]
    assert len(caplog.records) == 1


async def test_what_was_read_before_the_client_left_is_stored(
    world: World, nursery: trio.Nursery
) -> None:
    socket = begin_in(world, nursery)
    world.executor.hold()
    socket.give(body(1), ping(), body(2))
    socket.leave()
    await wait_all_tasks_blocked()
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert world.stored() == [event(1), event(2)]


@pytest.mark.parametrize(
    "failure", [Unavailable("The disk is full."), GroupFailed("The disk is full.")]
)
async def test_a_store_that_refuses_closes_the_socket_without_a_pong(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def refuse(_job: object) -> None:
        await trio.lowlevel.checkpoint()
        raise failure

    monkeypatch.setattr(world.journal, "write", refuse)
    socket = begin_in(world, nursery)
    socket.give(body(1), ping())
    await wait_all_tasks_blocked()
    assert socket.pongs == []
    assert socket.closed == [(1013, "The disk is full.")]


async def test_a_client_with_the_subprotocol_authenticates_first(
    world: World, nursery: trio.Nursery
) -> None:
    socket = begin_in(world, nursery, legacy=False)
    socket.give(b'{"type":"auth","token":null}')
    await wait_all_tasks_blocked()
    assert socket.messages == [{"type": "auth_success"}]
    socket.give(body(1))
    await wait_all_tasks_blocked()
    assert world.stored() == [event(1)]
    other = begin_in(world, nursery, legacy=False)
    other.give(body(2))
    await wait_all_tasks_blocked()
    assert other.closed[0][0] == 1008


EVERYTHING = {"occurred": {"since": times.shift(NOW, -300), "until": times.shift(NOW, 9999)}}


def begin_out(
    world: World, nursery: trio.Nursery, filter_: Any = None, **opening: Any
) -> FakeSocket:
    socket = FakeSocket()
    nursery.start_soon(sockets.stream, socket, world.services)
    wanted = {**EVERYTHING, **(filter_ or {})}
    socket.give(msgspec.json.encode({"type": "filter", "filter": wanted, **opening}))
    return socket


async def test_old_events_come_first_then_new_ones_each_once(
    world: World, nursery: trio.Nursery
) -> None:
    await world.store(event(3), event(1), event(2))
    socket = begin_out(world, nursery)
    await wait_all_tasks_blocked()
    await world.store(event(5), event(4))
    await world.store(event(3))
    await wait_all_tasks_blocked()
    assert socket.numbers == [1, 2, 3, 5, 4]
    assert socket.messages[0] == {"type": "event", "event": msgspec.to_builtins(event(1))}


async def test_the_backfill_comes_in_as_many_pages_as_there_are(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "BACKFILL_PAGE_EVENTS", 3)
    await world.store(*[event(number) for number in range(9)])
    socket = begin_out(world, nursery)
    await wait_all_tasks_blocked()
    assert socket.numbers == list(range(9))


async def test_events_that_arrive_during_the_backfill_come_behind_it(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "BACKFILL_PAGE_EVENTS", 2)
    await world.store(*[event(number) for number in range(10, 15)])
    socket = begin_out(world, nursery)
    socket.writable = trio.Event()
    await wait_all_tasks_blocked()
    await world.store(event(1), event(20))
    socket.writable.set()
    await wait_all_tasks_blocked()
    assert socket.numbers == [10, 11, 12, 13, 14, 1, 20]


async def test_without_backfill_only_new_events_come(world: World, nursery: trio.Nursery) -> None:
    await world.store(event(1))
    socket = begin_out(world, nursery, backfill=False)
    await wait_all_tasks_blocked()
    await world.store(event(2))
    await wait_all_tasks_blocked()
    assert socket.numbers == [2]


async def test_the_backfill_reaches_back_fifteen_minutes(
    world: World, nursery: trio.Nursery
) -> None:
    old = event(1, occurred=times.shift(NOW, -901))
    await world.store(old, event(2, occurred=times.shift(NOW, -899)))
    socket = begin_out(world, nursery, {"occurred": {"since": times.shift(NOW, -9999)}})
    await wait_all_tasks_blocked()
    assert socket.numbers == [2]


@pytest.mark.parametrize(
    "filter_",
    [
        {"related": {"id": ["boss"]}},
        {"related": [{"role": ["boss"]}, {"labels": {"level": "h*"}}]},
        {"any_resource": {"id_prefix": ["bo"]}},
        {"event": {"name": ["wanted"]}},
        {"text": {"query": "+WANTED"}},
        {"order": "DESC", "event": {"exclude_prefix": ["thing."]}},
        {"resource": {"distinct": True}, "event": {"prefix": ["want"]}},
    ],
)
async def test_every_part_of_the_filter_counts_for_old_and_live_events(
    world: World, nursery: trio.Nursery, filter_: dict[str, Any]
) -> None:
    boss = {"prefect.resource.id": "boss", "prefect.resource.role": "boss", "level": "high"}

    def wanted(number: int) -> Any:
        return event(number, event="wanted", related=[boss])

    await world.store(event(1), wanted(2), event(3), wanted(4))
    socket = begin_out(world, nursery, filter_)
    await wait_all_tasks_blocked()
    await world.store(event(5), wanted(6), event(7), wanted(8))
    await wait_all_tasks_blocked()
    assert socket.numbers == [2, 4, 6, 8]


async def test_without_an_end_a_filter_ends_where_it_was_read(
    world: World, nursery: trio.Nursery
) -> None:
    socket = begin_out(world, nursery, {"occurred": {}})
    await wait_all_tasks_blocked()
    await world.store(event(1), event(2, occurred=times.shift(NOW, 1)))
    await wait_all_tasks_blocked()
    assert socket.numbers == [1]


async def test_a_slow_client_gets_everything_once_and_in_order(
    world: World, nursery: trio.Nursery
) -> None:
    world.hub._fanout._waiting_bytes_max = 1000
    slow = begin_out(world, nursery)
    fast = begin_out(world, nursery)
    slow.writable = trio.Event()
    await wait_all_tasks_blocked()
    for first in range(0, 600, 4):
        await world.store(*[event(number) for number in range(first, first + 4)])
        await wait_all_tasks_blocked()
    slow.writable.set()
    await wait_all_tasks_blocked()
    await world.store(event(1000))
    await wait_all_tasks_blocked()
    assert fast.numbers == [*range(600), 1000]
    assert slow.numbers == [*range(600), 1000]


async def test_many_frames_leave_in_writes_of_bounded_size(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "SEND_BYTES", 600)
    await world.store(*[event(number) for number in range(10)])
    socket = begin_out(world, nursery)
    await wait_all_tasks_blocked()
    sizes = [len(payload) for what, payload in socket.log if what == "send"]
    assert socket.numbers == list(range(10))
    assert len(sizes) in range(3, 9)


async def test_pings_are_answered_before_and_after_the_filter(
    world: World, nursery: trio.Nursery
) -> None:
    socket = FakeSocket()
    nursery.start_soon(sockets.stream, socket, world.services)
    socket.give(ping(b"early"))
    socket.give(msgspec.json.encode({"type": "filter", "filter": {}}))
    socket.give(b"whatever", ping(b"late"))
    await wait_all_tasks_blocked()
    assert socket.pongs == [b"early", b"late"]
    assert socket.closed == []


async def test_a_subscription_ends_with_its_socket(world: World, nursery: trio.Nursery) -> None:
    socket = begin_out(world, nursery)
    await wait_all_tasks_blocked()
    assert len(world.hub._fanout) == 1
    socket.leave()
    await wait_all_tasks_blocked()
    assert len(world.hub._fanout) == 0


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (b"{", "Expected 'filter' message"),
        (b"[]", "Expected 'filter' message"),
        (b"\xff", "Expected 'filter' message"),
        (b'{"type":"subscribe"}', "Expected 'filter' message"),
        (b'{"type":"filter"}', "Invalid filter: "),
        (b'{"type":"filter","filter":7}', "Invalid filter: "),
        (b'{"type":"filter","filter":{"event":{"wrong":1}}}', "Invalid filter: event.wrong: "),
    ],
)
async def test_a_bad_opening_is_a_protocol_error(
    world: World, nursery: trio.Nursery, opening: bytes, reason: str
) -> None:
    socket = FakeSocket()
    nursery.start_soon(sockets.stream, socket, world.services)
    socket.give(opening)
    await wait_all_tasks_blocked()
    [(code, given)] = socket.closed
    assert code == 1002
    assert given.startswith(reason)


async def test_a_store_too_busy_for_the_backfill_asks_to_come_again(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_query: object) -> None:
        await trio.lowlevel.checkpoint()
        raise Unavailable("busy")

    monkeypatch.setattr(world.readers, "read", busy)
    socket = begin_out(world, nursery)
    await wait_all_tasks_blocked()
    assert socket.closed == [(1013, "busy")]
    assert len(world.hub._fanout) == 0
