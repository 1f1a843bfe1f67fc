"""The mailbox: its limit, its order, its end."""

import pytest
import trio

from lictor.actors.mailbox import Mailbox
from lictor.schema.errors import Unavailable


async def test_a_full_mailbox_refuses_and_says_when_to_come_again() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 2, retry_after_s=7)
    mailbox.put(1)
    mailbox.put(2)
    with pytest.raises(Unavailable, match="The clerk has 2 requests waiting") as caught:
        mailbox.put(3)
    assert caught.value.retry_after_s == 7
    assert await mailbox.take(10) == [1, 2]
    mailbox.put(4)
    assert len(mailbox) == 1


async def test_take_gives_what_waits_in_order_and_never_more_than_asked_for() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 10)
    for number in range(5):
        mailbox.put(number)
    assert await mailbox.take(3) == [0, 1, 2]
    assert await mailbox.take(3) == [3, 4]


async def test_a_cancelled_take_loses_no_message() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 10)
    with trio.CancelScope() as scope:
        scope.cancel()
        mailbox.put(1)
        await mailbox.take(3)
    assert scope.cancelled_caught
    assert await mailbox.take(3) == [1]


async def test_send_waits_for_room() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 1)
    mailbox.put(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.send, 2)
        await trio.testing.wait_all_tasks_blocked()
        # The sender's message steps in as soon as the first is taken.
        assert await mailbox.take(10) == [1, 2]


async def test_a_closed_mailbox_refuses_yet_gives_out_what_it_holds() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 2)
    mailbox.put(1)
    mailbox.close()
    with pytest.raises(Unavailable, match="stopping"):
        mailbox.put(2)
    with pytest.raises(Unavailable, match="stopping"):
        await mailbox.send(2)
    assert await mailbox.take(5) == [1]
    with pytest.raises(trio.EndOfChannel):
        await mailbox.take(5)


async def test_an_abandoned_mailbox_gives_up_its_messages_and_refuses_those_who_wait() -> None:
    mailbox: Mailbox[int] = Mailbox("clerk", 1)
    mailbox.put(1)
    refused: list[str] = []

    async def wait_for_room() -> None:
        try:
            await mailbox.send(2)
        except Unavailable as error:
            refused.append(error.reason)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_room)
        await trio.testing.wait_all_tasks_blocked()
        left = mailbox.abandon()
        # The waiting sender's message was let in while the mailbox was emptied.
        assert left == [1, 2]
    assert refused == []
    with pytest.raises(Unavailable, match="stopping"):
        mailbox.put(3)
    assert mailbox.abandon() == []
