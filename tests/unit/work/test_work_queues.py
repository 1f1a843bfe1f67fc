"""Work queues: priorities, statuses, events, and queues that are asked for without a pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work_world import Work

from lictor.schema.commands import work_pools, work_queues
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.errors import Conflict, IntegrityConflict, NotFound
from lictor.schema.rules.work_priorities import first_free, moved
from lictor.schema.tables import polls
from lictor.schema.tables.polls import Window
from lictor.schema.times import parse
from lictor.schema.wire.work_queues import WorkQueueCreate


@given(st.lists(st.integers(1, 30), unique=True, max_size=8), st.integers(1, 30))
def test_priorities_stay_unique_and_in_order_and_move_only_if_they_must(
    taken: list[int], wanted: int
) -> None:
    others = [(f"q{number}", number) for number in sorted(taken)]
    changed = moved(others, "new", wanted)
    after = {**dict(others), **changed}
    assert after["new"] == wanted
    assert len(set(after.values())) == len(after)
    assert sorted(dict(others), key=after.__getitem__) == [name for name, _ in others]
    for name, before in others:
        if before < wanted:
            assert after[name] == before
        else:
            pushed = all(number in taken for number in range(wanted, before + 1))
            assert after[name] == before + pushed


@given(st.sets(st.integers(1, 20)))
def test_the_first_free_priority_fills_the_first_gap(taken: set[int]) -> None:
    free = first_free(taken)
    assert free not in taken
    assert set(range(1, free)) <= taken


def test_a_queue_that_names_its_priority_pushes_the_others_back(work: Work) -> None:
    work.pool()
    work.queue("a")
    work.queue("b")
    work.queue("c", priority=1)
    assert work.order() == [("c", 1), ("default", 2), ("a", 3), ("b", 4)]
    work.update_queue("b", priority=1)
    assert work.order() == [("b", 1), ("c", 2), ("default", 3), ("a", 4)]
    work.delete_queue("c")
    assert work.order() == [("b", 1), ("default", 3), ("a", 4)]
    assert work.queue("d").priority == 2


def test_a_name_is_taken_only_within_its_pool(work: Work) -> None:
    work.pool()
    work.pool("second")
    work.queue("a")
    work.queue("a", pool="second")
    with pytest.raises(Conflict):
        work.queue("a")
    work.queue("b")
    with pytest.raises(Conflict):
        work.update_queue("b", name="a")
    with pytest.raises(IntegrityConflict):
        work.update_queue("b", name=None)
    with pytest.raises(NotFound):
        work.queue("a", pool="third")


def test_the_default_queue_stays(work: Work) -> None:
    work.pool()
    with pytest.raises(Conflict):
        work.delete_queue("default")


def test_a_poll_makes_ready_once_and_silence_unready(work: Work) -> None:
    work.pool()
    work.queue("a")
    work.events()
    work.poll("a")
    assert Deadline("work_queue") in work.tx.published
    (ready,) = work.events()
    assert ready.event == "prefect.work-queue.ready"
    assert ready.in_role("work-pool")["prefect.resource.name"] == "pool"
    work.pass_seconds(59)
    work.poll("a")
    assert not work.tx.published
    work.pass_seconds(59)
    assert not work.unpoll("a")
    assert work.find_queue("a").status == "READY"
    work.pass_seconds(2)
    assert work.unpoll("a")
    assert [event.event for event in work.events()] == ["prefect.work-queue.not-ready"]
    assert not work.unpoll("a")


def test_a_paused_queue_stays_paused_when_it_is_polled(work: Work) -> None:
    work.pool()
    work.queue("a", is_paused=True)
    assert work.find_queue("a").status == "NOT_READY"
    work.update_queue("a", is_paused=True)
    work.poll("a")
    assert work.find_queue("a").status == "PAUSED"
    assert not work.unpoll("a")
    work.update_queue("a", is_paused=False)
    assert work.find_queue("a").status == "READY"
    work.update_queue("a", is_paused=True)
    work.pass_seconds(61)
    work.update_queue("a", is_paused=False)
    assert work.find_queue("a").status == "NOT_READY"


def test_a_pause_is_a_status_and_no_update(work: Work) -> None:
    work.pool()
    work.queue("a")
    work.events()
    work.update_queue("a", is_paused=True)
    assert [event.event for event in work.events()] == ["prefect.work-queue.paused"]
    work.update_queue("a", is_paused=True, description="new")
    (event,) = work.events()
    assert event.event == "prefect.work-queue.updated"
    assert event.payload["updates"] == {"description": {"from": "", "to": "new"}}


def test_queues_without_a_pool_are_in_the_pool_of_agents(work: Work) -> None:
    first = work_pools.create_queue_without_pool(
        work.tx, WorkQueueCreate(name="default"), work.mint
    )
    assert first.work_pool_name == "default-agent-pool"
    second = work_pools.create_queue_without_pool(work.tx, WorkQueueCreate(name="b"), work.mint)
    assert (second.work_pool_id, second.priority) == (first.work_pool_id, 2)
    with pytest.raises(Conflict):
        work_pools.create_queue_without_pool(work.tx, WorkQueueCreate(name="b"), work.mint)
    found = work_pools.find_queue_without_pool(work.tx, "b")
    assert found is not None
    assert found.id == second.id


def test_a_name_is_looked_for_everywhere_while_there_is_no_pool_of_agents(work: Work) -> None:
    work.pool()
    queue = work.queue("a")
    found = work_pools.find_queue_without_pool(work.tx, "a")
    assert found is not None
    assert found.id == queue.id
    work.pool("default-agent-pool", "prefect-agent")
    assert work_pools.find_queue_without_pool(work.tx, "a") is None


def test_a_queue_that_is_looked_for_is_made_where_it_may_be(work: Work) -> None:
    work.pool()
    made = work_queues.find_or_create(work.tx, "pool", "new", work.mint)
    assert work_queues.find_or_create(work.tx, "pool", "new", work.mint).id == made.id
    assert work_queues.find_or_create(work.tx, "pool", None, work.mint).name == "default"
    with pytest.raises(NotFound):
        work_queues.find_or_create(work.tx, "none", "new", work.mint)


def test_a_queue_has_a_description_if_only_an_empty_one(work: Work) -> None:
    work.pool()
    assert work.queue("a", description=None).description == ""
    with pytest.raises(IntegrityConflict):
        work.update_queue("a", description=None)


def test_a_poll_names_the_queue_that_a_run_was_made_with(work: Work) -> None:
    pool = work.pool()
    work.queue("old")
    for name in (None, "old"):
        work.run(work_pool_name="pool", work_queue_name=name, state={"type": "SCHEDULED"})
    work.update_queue("old", name="new")
    queues = polls.queues_of_pool(work.tx, pool.id, Window(10))
    rows, now = polls.choose(queues, None, 10), parse(work.mint.now())
    told = [run.work_queue_name for run in polls.read_rows(work.tx, rows, now, as_made=True)]
    assert told == [None, "old"]
    told = [run.work_queue_name for run in polls.read_rows(work.tx, rows, now)]
    assert told == ["default", "new"]
