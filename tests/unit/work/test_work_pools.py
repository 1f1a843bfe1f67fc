"""Work pools: what making, changing and deleting one does, and when it is ready."""

from __future__ import annotations

import msgspec
import pytest
from work_world import Work

from lictor.schema.commands import work_pools, workers
from lictor.schema.errors import Conflict, Forbidden, IntegrityConflict, NotFound
from lictor.schema.tables import flow_runs as flow_run_table
from lictor.schema.tables import work_pools as table
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.times import parse
from lictor.schema.wire.work_queues import WorkQueueCreate


def names(work: Work) -> list[str]:
    return [event.event for event in work.events()]


def test_a_pool_comes_with_a_default_queue_and_tells_of_both(work: Work) -> None:
    pool = work.pool()
    queue = work.find_queue()
    assert (queue.id, queue.name, queue.priority) == (pool.default_queue_id, "default", 1)
    created, made, status = work.events()
    assert created.event == "prefect.work-queue.created"
    assert created.related[0]["prefect.resource.id"] == f"prefect.work-pool.{pool.id}"
    assert made.event == "prefect.work-pool.created"
    assert made.resource["prefect.work-pool.type"] == "process"
    assert made.related == [
        {
            "prefect.resource.id": f"prefect.work-queue.{queue.id}",
            "prefect.resource.role": "default-queue",
        }
    ]
    assert status.event == "prefect.work-pool.not-ready"


def test_reading_a_pool_gives_what_its_creation_answered(work: Work) -> None:
    made = work.pool(concurrency_limit=3, description="d", is_paused=True)
    assert made.status == "PAUSED"
    assert work_pools.find(work.tx, "pool") == made


def test_a_pool_of_agents_shows_no_status_but_tells_when_it_is_ready(work: Work) -> None:
    assert work.pool(type_="prefect-agent", is_paused=True).status is None
    assert names(work)[-1] == "prefect.work-pool.not-ready"
    work.beat()
    assert names(work) == ["prefect.work-pool.ready"]
    work.update_pool(is_paused=False)
    work.update_pool(is_paused=True)
    assert work.pool_status() is None
    assert names(work) == []


def test_a_pool_that_is_not_asked_for_by_itself_is_told_without_a_status(work: Work) -> None:
    work_pools.create_queue_without_pool(work.tx, WorkQueueCreate(name="q"), work.mint)
    assert [name.split(".")[-1] for name in names(work)] == ["created"] * 3


@pytest.mark.parametrize("name", ["prefect-x", "PREFECT", "Prefects"])
def test_names_of_prefect_are_reserved(work: Work, name: str) -> None:
    with pytest.raises(Forbidden):
        work.pool(name)
    with pytest.raises(Forbidden):
        work.update_pool(name, description="x")
    with pytest.raises(NotFound):
        work.update_pool(name, is_paused=True)
    with pytest.raises(Forbidden):
        work_pools.delete(work.tx, name, work.mint)


def test_a_taken_name_is_a_conflict(work: Work) -> None:
    work.pool()
    with pytest.raises(Conflict):
        work.pool()


@pytest.mark.parametrize("name", ["", " ", "'\"", "a/b", "a%b", "a&b", "a<b", "a>b"])
def test_names_that_are_no_names_are_refused(work: Work, name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        work.pool(name)


def test_only_what_differs_is_told_as_an_update(work: Work) -> None:
    work.pool(description="old")
    work.events()
    work.update_pool(description="old", concurrency_limit=4)
    (event,) = work.events()
    assert event.event == "prefect.work-pool.updated"
    assert event.payload == {
        "updated_fields": ["concurrency_limit"],
        "updates": {"concurrency_limit": {"from": None, "to": 4}},
    }
    work.update_pool(concurrency_limit=4)
    assert work.events() == []


@pytest.mark.parametrize("field", ["is_paused", "base_job_template", "storage_configuration"])
def test_what_a_pool_must_have_cannot_be_nulled(work: Work, field: str) -> None:
    work.pool()
    with pytest.raises(IntegrityConflict):
        work.update_pool(**{field: None})


def test_a_pause_is_told_once_and_each_status_names_the_one_before(work: Work) -> None:
    work.pool()
    work.events()
    work.update_pool(is_paused=True)
    work.update_pool(is_paused=True)
    (paused,) = work.events()
    assert (paused.event, paused.follows) == ("prefect.work-pool.paused", None)
    work.update_pool(is_paused=False)
    (back,) = work.events()
    assert (back.event, back.follows) == ("prefect.work-pool.not-ready", paused.id)
    work.pass_seconds(601)
    work.update_pool(is_paused=True)
    (late,) = work.events()
    assert (late.event, late.follows) == ("prefect.work-pool.paused", None)


def test_a_change_tells_of_the_status_before_the_fields(work: Work) -> None:
    work.pool()
    work.events()
    work.update_pool(description="d", is_paused=True)
    assert names(work) == ["prefect.work-pool.paused", "prefect.work-pool.updated"]


def test_a_paused_pool_is_ready_at_once_when_it_goes_on_with_a_worker_online(work: Work) -> None:
    work.pool(is_paused=True)
    work.beat()
    assert work.pool_status() == "PAUSED"
    work.update_pool(is_paused=False)
    assert work.pool_status() == "READY"


def test_the_last_worker_that_goes_takes_readiness_along(work: Work) -> None:
    work.pool()
    work.beat("a")
    work.beat("b")
    assert work.pool_status() == "READY"
    work.pass_seconds(100)
    work.beat("b")
    work.events()
    assert work.silence("a")
    assert work.pool_status() == "READY"
    workers.delete(work.tx, "pool", "b", work.mint)
    assert work.pool_status() == "NOT_READY"
    assert names(work) == ["prefect.work-pool.not-ready"]


def test_slots_are_counted_only_where_there_is_a_limit(work: Work) -> None:
    work.pool()
    work.queue("other", concurrency_limit=5)
    for state in ("PENDING", "RUNNING", "CANCELLING", "COMPLETED"):
        work.run(work_pool_name="pool", work_queue_name="other", state={"type": state})
    work.run(work_pool_name="pool", state={"type": "RUNNING"})
    assert work_pools.find(work.tx, "pool").active_slots is None
    work.update_pool(concurrency_limit=9)
    assert work_pools.find(work.tx, "pool").active_slots == 3
    other = work.find_queue("other")
    assert other.active_slots == 2
    alone = queue_table.read(work.tx, other.id, "alone")
    assert alone is not None
    assert alone.active_slots == 3


def test_a_deleted_pool_leaves_its_runs_the_name_of_their_queue(work: Work) -> None:
    pool = work.pool()
    work.beat()
    run = work.run(work_pool_name="pool", work_queue_name="default")
    assert (run.work_pool_id, run.work_pool_name) == (pool.id, "pool")
    assert (run.work_queue_id, run.work_queue_name) == (pool.default_queue_id, "default")
    work.events()
    work_pools.delete(work.tx, "pool", work.mint)
    assert names(work) == ["prefect.work-queue.deleted", "prefect.work-pool.deleted"]
    left = flow_run_table.read(work.tx, run.id, parse(work.mint.now()))
    assert left is not None
    assert (left.work_pool_id, left.work_pool_name, left.work_queue_id) == (None, None, None)
    assert left.work_queue_name == "default"
    assert work.tx.all("SELECT 1 FROM worker") == work.tx.all("SELECT 1 FROM work_queue") == []
    assert table.id_of(work.tx, "pool") is None


def test_a_run_asks_for_a_queue_that_exists(work: Work) -> None:
    work.pool()
    with pytest.raises(NotFound):
        work.run(work_pool_name="none")
    with pytest.raises(NotFound):
        work.run(work_pool_name="pool", work_queue_name="none")
    alone = work.run(work_queue_name="default")
    assert (alone.work_queue_id, alone.work_queue_name) == (None, "default")


def test_the_events_of_a_run_name_its_queue_and_its_pool(work: Work) -> None:
    pool = work.pool()
    work.events()
    work.run(work_pool_name="pool")
    (event,) = work.events()
    queue, of_pool = (event.in_role("work-queue"), event.in_role("work-pool"))
    assert queue is not None
    assert of_pool is not None
    assert queue["prefect.resource.id"] == f"prefect.work-queue.{pool.default_queue_id}"
    assert of_pool["prefect.work-pool.type"] == "process"
