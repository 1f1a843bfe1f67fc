"""Workers: heartbeats, deadlines, and what is shown of them."""

from __future__ import annotations

import pytest
from work_world import Work

from lictor.schema.commands import workers
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.errors import NotFound


def test_the_first_heartbeat_registers_and_the_next_keep_what_is_known(work: Work) -> None:
    work.pool()
    work.beat(interval_s=10)
    (first,) = work.workers()
    work.beat()
    (second,) = work.workers()
    assert (second.id, second.heartbeat_interval_seconds, second.status) == (first.id, 10, "ONLINE")
    assert second.last_heartbeat_time > first.last_heartbeat_time


@pytest.mark.parametrize(("interval_s", "deadline_s"), [(None, 90), (0, 90), (10, 30)])
def test_a_worker_may_miss_three_heartbeats(
    work: Work, interval_s: int | None, deadline_s: int
) -> None:
    work.pool()
    work.beat(interval_s=interval_s)
    work.pass_seconds(deadline_s - 1)
    assert work.workers()[0].status == "ONLINE"
    assert not work.silence()
    work.pass_seconds(1)
    assert work.workers()[0].status == "OFFLINE"
    assert work.silence()
    assert not work.silence()
    work.beat()
    assert work.workers()[0].status == "ONLINE"


def test_only_a_deadline_that_is_new_or_nearer_is_told(work: Work) -> None:
    work.pool()
    told = Deadline("worker")
    work.beat(interval_s=60)
    assert told in work.tx.published
    work.events()
    work.beat()
    assert told not in work.tx.published
    work.beat(interval_s=5)
    assert told in work.tx.published
    work.pass_seconds(60)
    work.silence()
    work.events()
    work.beat()
    assert told in work.tx.published


def test_the_newest_heartbeat_is_first(work: Work) -> None:
    work.pool()
    for name in ("a", "b", "a"):
        work.beat(name)
    assert [worker.name for worker in work.workers()] == ["a", "b"]


def test_what_does_not_exist_is_not_found(work: Work) -> None:
    with pytest.raises(NotFound):
        work.beat()
    work.pool()
    with pytest.raises(NotFound):
        workers.delete(work.tx, "pool", "none", work.mint)
    with pytest.raises(NotFound):
        workers.delete(work.tx, "none", "worker", work.mint)
