"""The event hub: batches into jobs, refusals, bad jobs; and live readers of unequal speed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
from event_world import NOW, World, event
from trio.testing import wait_all_tasks_blocked

from lictor.actors import events as hub_module
from lictor.actors.event_pages import FRAME_BYTES_MAX, PAGE_EVENTS, PAGES_KEPT, Delivery, EventPages
from lictor.schema.errors import Unavailable
from lictor.schema.events.event import Event, StoredEvent
from lictor.schema.events.filters import EventFilter, compile_filter, interval
from lictor.schema.tables import events as table


def compiled(filter_: dict[str, Any] | None = None) -> Any:
    made = msgspec.convert(filter_ or {}, EventFilter)
    return compile_filter(made, interval(made, NOW))


async def outcome(world: World, batch: Sequence[Event], answers: list[str], size: int = 1) -> None:
    try:
        await world.hub.accept(batch, size)
        answers.append("stored")
    except Unavailable as error:
        answers.append(error.reason)


async def test_an_accepted_batch_is_on_disk(world: World) -> None:
    await world.hub.accept([event(1), event(2)], 10)
    assert world.stored() == [event(1), event(2)]


async def test_nothing_is_stored_for_an_empty_batch(world: World) -> None:
    await world.hub.accept([], 0)
    assert world.executor.calls == 0


async def test_batches_that_wait_are_stored_in_their_order_by_one_job(
    world: World, nursery: trio.Nursery
) -> None:
    world.executor.hold()
    answers: list[str] = []
    for number in range(5):
        nursery.start_soon(outcome, world, [event(number)], answers)
        await wait_all_tasks_blocked()
    assert answers == []
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert answers == ["stored"] * 5
    assert world.stored() == [event(number) for number in range(5)]
    assert world.executor.calls == 2


async def test_a_job_has_a_bounded_number_of_events(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "EVENTS_PER_JOB", 4)
    world.executor.hold()
    answers: list[str] = []
    for first in range(0, 20, 3):
        nursery.start_soon(outcome, world, [event(first + n) for n in range(3)], answers)
        await wait_all_tasks_blocked()
    nursery.start_soon(outcome, world, [event(100 + n) for n in range(9)], answers)
    await wait_all_tasks_blocked()
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert answers == ["stored"] * 8
    assert world.executor.calls == 8


async def test_what_is_too_much_is_refused_and_nothing_of_it_stored(
    world: World, nursery: trio.Nursery
) -> None:
    hub = world.new_hub(bytes_waiting_max=100)
    await nursery.start(hub.run)
    world.hub, first = hub, world.hub
    world.executor.hold()
    answers: list[str] = []
    nursery.start_soon(outcome, world, [event(1)], answers, 500)
    await wait_all_tasks_blocked()
    await outcome(world, [event(2)], answers, 1)
    assert answers == ["Too many events are waiting to be stored; try again shortly."]
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    await outcome(world, [event(3)], answers, 1)
    assert answers[1:] == ["stored", "stored"]
    assert world.stored() == [event(1), event(3)]
    hub.close()
    world.hub = first


async def test_a_full_mailbox_refuses_a_request_and_holds_up_a_socket(
    world: World, nursery: trio.Nursery
) -> None:
    hub = world.new_hub(batches_waiting_max=1)
    world.hub, first = hub, world.hub
    answers: list[str] = []
    nursery.start_soon(outcome, world, [event(1)], answers)
    await wait_all_tasks_blocked()
    await outcome(world, [event(2)], answers)
    assert "1 requests waiting" in answers[0]
    with trio.CancelScope() as scope:
        nursery.start_soon(_submit_then, hub, [event(3)], answers)
        await wait_all_tasks_blocked()
        assert len(answers) == 1
        await nursery.start(hub.run)
        await wait_all_tasks_blocked()
        scope.cancel()
    assert sorted(answers[1:]) == ["stored", "submitted"]
    assert world.stored() == [event(1), event(3)]
    hub.close()
    world.hub = first


async def _submit_then(hub: Any, batch: list[Event], answers: list[str]) -> None:
    await hub.submit(batch, 1)
    answers.append("submitted")


async def test_a_socket_waits_for_room_in_bytes(world: World, nursery: trio.Nursery) -> None:
    hub = world.new_hub(bytes_waiting_max=100)
    await nursery.start(hub.run)
    world.executor.hold()
    answers: list[str] = []
    for number in range(3):
        nursery.start_soon(_submit_and_wait, hub, event(number), answers)
        await wait_all_tasks_blocked()
    world.executor.gate.set()
    await wait_all_tasks_blocked()
    assert answers == ["stored"] * 3
    # Which of those that wait comes first is left to chance.
    assert sorted(each.payload["n"] for each in world.stored()) == [0, 1, 2]
    hub.close()


async def _submit_and_wait(hub: Any, made: Event, answers: list[str]) -> None:
    await (await hub.submit([made], 90)).wait()
    answers.append("stored")


async def test_a_bad_event_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = event(2)
    insert = table.insert

    def picky(tx: Any, events: Sequence[Event]) -> list[StoredEvent]:
        if bad in events:
            raise ValueError("a bug")
        return insert(tx, events)

    monkeypatch.setattr(table, "insert", picky)
    with caplog.at_level(logging.ERROR):
        await world.hub.accept([event(1), bad, event(3)], 3)
    assert world.stored() == [event(1), event(3)]
    assert f"The event {bad.id} could not be stored" in caplog.text


async def test_whoever_waits_when_the_hub_ends_is_refused(world: World) -> None:
    hub = world.new_hub()
    world.hub, first = hub, world.hub
    answers: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, world, [event(1)], answers)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await hub.run()
    assert answers == ["The server is stopping."]
    world.hub = first


async def test_a_subscriber_gets_what_matches_in_commit_order(world: World) -> None:
    filter_ = {"event": {"name": ["wanted"]}, "resource": {"id": ["thing.1"]}}
    with world.hub.subscribe(compiled(filter_)) as subscription:
        elsewhere = {"prefect.resource.id": "thing.2"}
        await world.store(event(3, event="wanted"), event(2), event(1, event="wanted"))
        await world.store(event(4, event="wanted", resource=elsewhere), event(5, event="wanted"))
        frames = await subscription.take()
    assert [b'"n":%d' % n in frame for n, frame in zip((3, 1, 5), frames, strict=True)] == [
        True
    ] * 3


async def test_events_that_a_transition_stores_are_handed_round_too(world: World) -> None:
    with world.hub.subscribe(compiled()) as subscription:
        await world.journal.write(lambda tx: table.insert(tx, [event(1)]))
        assert len(await subscription.take()) == 1


async def test_a_repeated_event_is_handed_round_once(world: World) -> None:
    with world.hub.subscribe(compiled()) as subscription:
        await world.store(event(1), event(1))
        await world.store(event(1))
        await world.store(event(2))
        assert len(await subscription.take()) == 2


async def test_a_frame_is_built_once_for_all(world: World) -> None:
    with world.hub.subscribe(compiled()) as first, world.hub.subscribe(compiled()) as second:
        await world.store(event(1))
        [one], [other] = await first.take(), await second.take()
        assert one is other


async def test_a_frame_longer_than_clients_take_is_left_out(world: World) -> None:
    large = event(1, payload={"n": "x" * FRAME_BYTES_MAX})
    with world.hub.subscribe(compiled()) as subscription:
        await world.store(large, event(2))
        assert len(await subscription.take()) == 1
    assert large in world.stored()


async def test_a_reader_that_was_behind_finds_every_event_once(world: World) -> None:
    size = len(Delivery(StoredEvent(1, event(100))).frame or b"")
    world.hub._fanout._waiting_bytes_max = 3 * size
    with world.hub.subscribe(compiled()) as subscription:
        for number in range(100, 100 + PAGE_EVENTS * 2, 7):
            await world.store(*[event(n) for n in range(number, number + 7)])
        seen = list(await subscription.take())
        assert len(seen) < 7
        assert await subscription.take() == []
        cursor = subscription.cursor
        while True:
            page, cursor = await world.hub.after(cursor)
            seen += [item.frame for item in page if item.frame is not None]
            if page and page[-1].seq % 10 == 0:
                await world.store(event(10_000 + cursor))
            if subscription.caught_up(cursor):
                break
        await world.store(event(1))
        seen += await subscription.take()
    assert len(seen) == len(set(seen)) == len(world.stored())


class CountingReaders:
    """Stands for readers, and counts what is read."""

    def __init__(self, world: World) -> None:
        self._readers = world.readers
        self.reads = 0

    async def read(self, query: Any) -> Any:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        return await self._readers.read(query)


async def test_readers_behind_together_share_a_page(world: World, nursery: trio.Nursery) -> None:
    await world.store(*[event(number) for number in range(PAGE_EVENTS + 5)])
    readers: Any = CountingReaders(world)
    pages = EventPages(readers)
    found: list[Any] = []

    async def read() -> None:
        found.append(await pages.after(3))

    for _ in range(4):
        nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert readers.reads == 1
    assert [reach for _, reach in found] == [PAGE_EVENTS] * 4
    assert [item.seq for item in found[0][0]] == list(range(4, PAGE_EVENTS + 1))
    await pages.after(50)
    assert readers.reads == 1


async def test_a_page_that_is_not_full_yet_is_read_again(world: World) -> None:
    await world.store(event(1), event(2))
    pages = EventPages(world.readers)
    page, reach = await pages.after(0)
    assert ([item.event for item in page], reach) == ([event(1), event(2)], 2)
    assert await pages.after(2) == ([], 2)
    await world.store(event(3))
    page, reach = await pages.after(2)
    assert ([item.event for item in page], reach) == ([event(3)], 3)


async def test_a_bounded_number_of_pages_is_kept(world: World) -> None:
    count = PAGE_EVENTS * (PAGES_KEPT + 2)
    await world.store(*[event(number) for number in range(count)])
    readers: Any = CountingReaders(world)
    pages = EventPages(readers)
    for cursor in range(0, count, PAGE_EVENTS):
        await pages.after(cursor)
    assert readers.reads == PAGES_KEPT + 2
    await pages.after(count - 1)
    assert readers.reads == PAGES_KEPT + 2
    await pages.after(0)
    assert readers.reads == PAGES_KEPT + 3


async def test_a_read_that_fails_is_tried_by_the_next_who_asks(
    world: World, nursery: trio.Nursery
) -> None:
    await world.store(event(1))

    class Failing(CountingReaders):
        async def read(self, query: Any) -> Any:
            answer = await super().read(query)
            if self.reads == 1:
                raise Unavailable("too slow")
            return answer

    readers: Any = Failing(world)
    pages = EventPages(readers)
    found: list[Any] = []

    async def read() -> None:
        try:
            found.append((await pages.after(0))[1])
        except Unavailable as error:
            found.append(error.reason)

    nursery.start_soon(read)
    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert sorted(map(str, found)) == ["1", "too slow"]
