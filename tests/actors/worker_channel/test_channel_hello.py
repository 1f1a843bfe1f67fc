"""The opening of a worker's channel: who is let in, to what, and who is not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from channel_world import CONSUMER, TEMPLATE, WorkerSocket, World, frame, heartbeat, hello, running
from trio.testing import MockClock

from lictor.actors import worker_channel
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import Binary, Ping, Text
from lictor.actors.ingress.sockets import workers as handler
from lictor.config.settings import Settings

PROTOCOL_ERROR = (1002, "protocol_error")
NOT_ALLOWED = (1008, "authorization_failed")
CLEANUP = ["worker_heartbeat.v1", "work_pool_snapshot.v1", "cleanup_delivery.v1"]


async def test_a_worker_is_answered_with_its_pool_and_all_its_queues(
    world: World, autojump_clock: MockClock
) -> None:
    queue_id = await world.add_queue("q")
    socket = await world.greeted(hello(heartbeat_interval_seconds=7))
    assert [sent["type"] for sent in socket.sent] == ["auth_success", "worker.ready.v1"]
    assert set(socket.sent[1]) == {"type", "id", "sent_at", "payload"}
    pool = world.pool()
    assert pool.status == "READY"
    (payload,) = socket.payloads
    snapshot = payload.pop("initial_snapshot")
    assert payload == {
        "consumer_id": CONSUMER,
        "worker_id": None,
        "selected_channel_version": "work_pool_worker_channel.v1",
        "effective_heartbeat_interval_seconds": 7,
        "accepted_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
        "rejected_capabilities": [],
        "effective_max_cleanup_concurrency": 0,
        "resolved_work_queues": [
            {"id": pool.default_queue_id, "name": "default"},
            {"id": queue_id, "name": "q"},
        ],
    }
    assert (snapshot["snapshot_sequence"], snapshot["reason"]) == (1, "initial")
    assert snapshot["work_pool"]["id"] == pool.id
    assert snapshot["work_pool"]["status"] == "READY"
    assert snapshot["work_pool"]["active_slots"] is None
    (worker,) = world.workers()
    assert (worker.name, worker.status, worker.heartbeat_interval_seconds) == ("w", "ONLINE", 7)


async def test_a_limited_pool_is_sent_with_its_slots(
    world: World, autojump_clock: MockClock
) -> None:
    await world.change(concurrency_limit=3)
    socket = await world.greeted()
    assert socket.payloads[0]["initial_snapshot"]["work_pool"]["active_slots"] == 0


async def test_named_queues_are_resolved_once_each_in_the_order_of_the_names(
    world: World, autojump_clock: MockClock
) -> None:
    await world.add_queue("a")
    await world.add_queue("b")
    socket = await world.greeted(hello(work_queue_names=["b", "default", "b"]))
    names = [queue["name"] for queue in socket.payloads[0]["resolved_work_queues"]]
    assert names == ["b", "default"]


async def test_clean_up_is_accepted_and_unknown_capabilities_are_declined(
    world: World, autojump_clock: MockClock
) -> None:
    asked = hello(
        requested_capabilities=[*CLEANUP, "later.v9", "later.v9"],
        handled_cleanup_kinds=["cancelling_timeout_teardown.v1"],
        max_cleanup_concurrency=2,
    )
    (ready,) = (await world.greeted(asked)).payloads
    assert ready["accepted_capabilities"] == CLEANUP
    assert ready["rejected_capabilities"] == ["later.v9"]
    assert ready["effective_max_cleanup_concurrency"] == 2


@pytest.mark.parametrize(
    ("asked", "concurrency"),
    [
        ({"handled_cleanup_kinds": ["pending_claim_teardown.v1"]}, 1),
        ({"handled_cleanup_kinds": ["pending_claim_teardown.v1"], "max_cleanup_concurrency": 0}, 0),
        ({"max_cleanup_concurrency": 5}, 0),
        ({}, 0),
    ],
)
async def test_clean_up_needs_kinds_and_a_concurrency_which_is_one_when_unsaid(
    world: World, autojump_clock: MockClock, asked: Any, concurrency: int
) -> None:
    socket = await world.greeted(hello(requested_capabilities=CLEANUP, **asked))
    (ready,) = socket.payloads
    accepted = CLEANUP[: 3 if concurrency else 2]
    assert ready["accepted_capabilities"] == accepted
    assert ready["rejected_capabilities"] == CLEANUP[len(accepted) :]
    assert ready["effective_max_cleanup_concurrency"] == concurrency


@pytest.mark.parametrize(
    "message",
    [
        {"type": "nonsense"},
        {},
        [],
        Text(b"{"),
        Text(b"\xff"),
        Binary(b"{}"),
        heartbeat(),
        frame("worker.hello.v1", {}),
        {**hello(), "more": 1},
        {**hello(), "id": "no uuid"},
        {**hello(), "sent_at": "never"},
        hello(more=1),
        hello(consumer_id="no uuid"),
        hello(worker_name=""),
        hello(worker_type=""),
        hello(worker_type=None),
        hello(heartbeat_interval_seconds=0),
        hello(supported_channel_versions=[]),
        hello(requested_capabilities=["worker_heartbeat.v1"]),
        hello(handled_cleanup_kinds=["cancelling_timeout_teardown.v1"]),
        hello(max_cleanup_concurrency=1),
        hello(requested_capabilities=CLEANUP, handled_cleanup_kinds=["unknown.v1"]),
        hello(work_queue_names=[""]),
        hello(work_queue_names=["q"] * 1001),
    ],
)
async def test_a_hello_that_is_not_one_closes_the_channel(
    world: World, autojump_clock: MockClock, message: Any
) -> None:
    socket = await world.greeted(message)
    assert socket.closed == PROTOCOL_ERROR
    assert world.workers() == []


async def test_a_worker_that_speaks_other_versions_only_is_turned_away(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted(hello(supported_channel_versions=["v99"]))
    assert socket.closed == (1008, "unsupported_version")


async def test_one_version_in_common_is_enough(world: World, autojump_clock: MockClock) -> None:
    both = ["v99", "work_pool_worker_channel.v1"]
    assert (await world.greeted(hello(supported_channel_versions=both))).closed is None


async def test_an_unknown_queue_is_not_served_and_leaves_no_new_pool(
    world: World, autojump_clock: MockClock
) -> None:
    assert (await world.greeted(hello(work_queue_names=["none"]))).closed == NOT_ALLOWED
    making = hello(work_queue_names=["none"], create_pool_if_not_found=True)
    assert (await world.greeted(making, pool="new")).closed == NOT_ALLOWED
    assert (await world.greeted(pool="new")).closed == NOT_ALLOWED


@pytest.mark.parametrize(("pool", "create"), [("none", False), ("Prefect-mine", True)])
async def test_a_pool_that_may_not_be_made_is_not(
    world: World, autojump_clock: MockClock, pool: str, create: bool
) -> None:
    socket = await world.greeted(hello(create_pool_if_not_found=create), pool=pool)
    assert socket.closed == NOT_ALLOWED


async def test_a_missing_pool_is_made_with_the_type_and_the_template_of_the_worker(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hello(
        create_pool_if_not_found=True, default_base_job_template=TEMPLATE, worker_type="docker"
    )
    _check_inline(monkeypatch)
    (ready,) = (await world.greeted(asked, pool="new")).payloads
    made = ready["initial_snapshot"]["work_pool"]
    assert (made["name"], made["type"], made["status"]) == ("new", "docker", "READY")
    assert made["base_job_template"] == TEMPLATE
    assert [queue["name"] for queue in ready["resolved_work_queues"]] == ["default"]


async def test_an_empty_template_is_filled_and_another_one_is_kept(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.greeted()
    _check_inline(monkeypatch)
    second = await world.greeted(hello(default_base_job_template=TEMPLATE))
    assert second.payloads[0]["initial_snapshot"]["work_pool"]["base_job_template"] == TEMPLATE
    await trio.sleep(worker_channel.MERGE_S)
    await trio.testing.wait_all_tasks_blocked()
    assert first.told == [(2, "work_pool_updated")]
    other = {**TEMPLATE, "job_configuration": {"env": "{{ command }}"}}
    third = await world.greeted(hello(default_base_job_template=other))
    assert third.payloads[0]["initial_snapshot"]["work_pool"]["base_job_template"] == TEMPLATE


@pytest.mark.parametrize(
    "template",
    [
        {"job_configuration": {"a": "{{ b }}"}, "variables": {"properties": {"c": {}}}},
        {
            "job_configuration": {"a": "{{ b }}"},
            "variables": {"properties": {"b": {"type": "string", "default": 5}}},
        },
    ],
)
async def test_a_template_that_no_pool_may_have_closes_the_channel(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, template: Any
) -> None:
    _check_inline(monkeypatch)
    asked = hello(create_pool_if_not_found=True, default_base_job_template=template)
    assert (await world.greeted(asked, pool="new")).closed == PROTOCOL_ERROR


async def test_without_the_subprotocol_the_upgrade_is_refused(
    world: World, autojump_clock: MockClock
) -> None:
    socket = WorkerSocket("pool", subprotocols=())
    await handler.connect(socket, world.services)
    assert socket.rejected == 403


async def test_wrong_credentials_have_one_reason_only(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path, api_auth_string="user:password") as world:
        for token in (None, "wrong"):
            socket = await world.connect(token=token)
            assert socket.closed == (1008, "authentication_failed")
        assert (await world.connect(token="user:password")).closed is None


async def test_a_server_that_cannot_write_asks_the_worker_to_come_again(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.connect()
    world.journal.close()
    socket.say(hello())
    await trio.testing.wait_all_tasks_blocked()
    assert socket.closed == (1011, "transient_server_error")


async def test_more_workers_than_are_served_are_asked_to_come_again(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_channel, "WORKERS_MAX", 1)
    first = await world.greeted()
    assert (await world.greeted()).closed == (1011, "transient_server_error")
    first.leave()
    await trio.testing.wait_all_tasks_blocked()
    assert (await world.greeted()).closed is None


async def test_pings_are_answered_before_and_after_the_hello(
    world: World, autojump_clock: MockClock
) -> None:
    socket = await world.greeted(Ping(b"1"), hello(), Ping(b"2"))
    assert socket.pongs == [b"1", b"2"]
    assert socket.closed is None


async def test_any_pool_name_leads_to_the_channel_and_no_other_path_does() -> None:
    async def served(socket: object) -> None:
        await trio.lowlevel.checkpoint()

    async def page(request: object) -> Any:
        await trio.lowlevel.checkpoint()

    site = Site(Settings(), page, {"/work_pools/{}/workers/connect": served})
    assert site.socket("/api/work_pools/my pool/workers/connect") is served
    for path in ("//workers/connect", "/a/b/workers/connect", "/a/workers", "/a/workers/connect/"):
        assert site.socket("/api/work_pools" + path) is None
    assert site.socket("/work_pools/a/workers/connect") is None


def _check_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the library without a thread: virtual time would run on meanwhile."""

    async def run_inline(function: Any, *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return partial(function, *args)()

    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)
