"""Deployments: ready while somebody asks for their runs."""

from __future__ import annotations

from work_world import Work, as_sent

from lictor.schema.commands import deployment_status, deployments, work_queues
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.wire.deployments import DeploymentCreate


def deploy(work: Work, name: str = "a") -> str:
    body = {"name": name, "flow_id": work.flow_id, "work_pool_name": "pool"}
    made, _ = deployments.create(work.tx, as_sent(body, DeploymentCreate), work.mint, work.settings)
    work.events()
    return made.id


def status(work: Work, id_: str) -> tuple[str, str]:
    row = work.tx.one("SELECT status, updated FROM deployment WHERE id = ?", (id_,))
    assert row is not None
    return row[0], row[1]


def unpoll(work: Work, id_: str) -> bool:
    return deployment_status.mark_unpolled(work.tx, id_, work.mint, work.settings)


def test_a_poll_of_the_queue_makes_all_its_deployments_ready_once(work: Work) -> None:
    pool = work.pool()
    ids = [deploy(work, name) for name in "ab"]
    before = [status(work, id_)[1] for id_ in ids]
    deployment_status.mark_queue_polled(work.tx, pool.default_queue_id, work.mint)
    assert Deadline("deployment") in work.tx.published
    ready = work.events()
    assert [event.event for event in ready] == ["prefect.deployment.ready"] * 2
    assert ready[0].in_role("work-pool")["prefect.resource.name"] == "pool"
    assert [status(work, id_) for id_ in ids] == [("READY", moment) for moment in before]
    deployment_status.mark_queue_polled(work.tx, pool.default_queue_id, work.mint)
    assert work.events() == []


def test_silence_makes_a_deployment_unready_unless_its_queue_was_polled(work: Work) -> None:
    pool = work.pool()
    id_ = deploy(work)
    assert not unpoll(work, id_)
    deployment_status.mark_polled(work.tx, [id_], work.mint)
    work.pass_seconds(50)
    work_queues.mark_polled(work.tx, [pool.default_queue_id], work.mint)
    work.pass_seconds(50)
    work.events()
    assert unpoll(work, id_)
    assert status(work, id_)[0] == "READY"
    work.pass_seconds(11)
    assert unpoll(work, id_)
    assert status(work, id_)[0] == "NOT_READY"
    assert [event.event for event in work.events()] == ["prefect.deployment.not-ready"]
