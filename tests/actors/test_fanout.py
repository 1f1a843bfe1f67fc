"""Fan-out: every reader gets every item it asked for once, in order, whatever its speed."""

from __future__ import annotations

import random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from lictor.actors.fanout import Fanout, Subscription
from lictor.schema.errors import Unavailable


def fanout(head: int = 0, **limits: int) -> Fanout[int]:
    return Fanout("The test", lambda item: None if item == 130 else b"%d " % item, head, **limits)


def publish(stream: Fanout[int], *seqs: int) -> None:
    stream.publish([(seq, seq) for seq in seqs])


async def test_matching_items_are_taken_in_order() -> None:
    stream = fanout()
    with stream.subscribe(lambda item: item % 2 == 0) as even:
        publish(stream, 1, 2, 3)
        publish(stream, 4)
        assert await even.take() == [b"2 ", b"4 "]
        publish(stream, 6)
        assert await even.take() == [b"6 "]


async def test_a_frame_is_built_once_for_all_and_only_if_somebody_wants_it() -> None:
    built: list[int] = []

    def frame(item: int) -> bytes:
        built.append(item)
        return b"x"

    stream: Fanout[int] = Fanout("The test", frame, 0)
    with (
        stream.subscribe(lambda item: item > 1) as one,
        stream.subscribe(lambda item: item > 1) as two,
    ):
        publish(stream, 1, 2)
        assert (await one.take())[0] is (await two.take())[0]
    assert built == [2]


async def test_an_item_without_a_frame_is_passed_over() -> None:
    stream = fanout()
    with stream.subscribe(lambda item: True) as reader:
        publish(stream, 12, 130, 140)
        assert await reader.take() == [b"12 ", b"140 "]


async def test_a_subscription_starts_with_what_comes_after_it(autojump_clock: object) -> None:

    stream = fanout(head=5)
    publish(stream, 6)
    with stream.subscribe(lambda item: True) as reader:
        with trio.move_on_after(1) as waited:
            await reader.take()
        assert waited.cancelled_caught
        publish(stream, 7)
        assert await reader.take() == [b"7 "]


async def test_a_full_reader_falls_behind_and_reads_the_table_from_where_it_stopped() -> None:
    stream = fanout(waiting_bytes_max=4)
    with stream.subscribe(lambda item: True) as slow:
        publish(stream, 1, 2, 3)
        publish(stream, 4)
        assert await slow.take() == [b"1 ", b"2 "]
        assert await slow.take() == []
        assert slow.cursor == 2
        assert not slow.caught_up(3)
        assert await slow.take() == []
        assert slow.caught_up(4)
        publish(stream, 5)
        assert await slow.take() == [b"5 "]


async def test_a_reader_that_is_behind_is_behind_after_what_did_not_concern_it() -> None:
    stream = fanout(waiting_bytes_max=2)
    with stream.subscribe(lambda item: item in (1, 9)) as slow:
        publish(stream, 1, 5, 9)
        assert await slow.take() == [b"1 "]
        assert slow.cursor == 8


async def test_what_the_table_showed_before_it_was_published_is_not_sent_again() -> None:
    stream = fanout(head=3)
    with stream.subscribe(lambda item: True, after=0) as reader:
        assert await reader.take() == []
        assert reader.caught_up(5)
        publish(stream, 4, 5, 6)
        assert await reader.take() == [b"6 "]


async def test_a_frame_larger_than_the_limit_goes_into_an_empty_queue() -> None:
    stream = fanout(waiting_bytes_max=1)
    with stream.subscribe(lambda item: True) as reader:
        publish(stream, 1)
        assert await reader.take() == [b"1 "]


async def test_subscriptions_are_limited_and_end_with_their_block() -> None:
    stream = fanout(subscribers_max=1)
    with stream.subscribe(lambda item: True):
        with pytest.raises(Unavailable), stream.subscribe(lambda item: True):
            pass
        assert len(stream) == 1
    assert len(stream) == 0


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_no_item_is_lost_or_doubled_whatever_the_order_of_events(seed: int, room: int) -> None:
    chance = random.Random(seed)
    stream = fanout(waiting_bytes_max=room)
    table: list[int] = []
    seen: list[int] = []
    pending: list[int] = []

    def step(reader: Subscription[int]) -> None:
        frames, reader._frames = reader._frames, []
        reader._waiting_bytes = 0
        seen.extend(int(frame) for frame in frames)
        if not frames and reader.is_behind:
            page = [seq for seq in table if seq > reader.cursor][: chance.randint(1, 3)]
            seen.extend(page)
            reader.caught_up(page[-1] if page else max(table, default=0))

    with stream.subscribe(lambda item: True) as reader:
        for seq in range(1, chance.randint(2, 40)):
            table.append(seq)
            pending.append(seq)
            if chance.random() < 0.6:
                publish(stream, *pending)
                pending.clear()
            if chance.random() < 0.4:
                step(reader)
        publish(stream, *pending)
        while reader.is_behind or reader._frames:
            step(reader)
    assert seen == table
