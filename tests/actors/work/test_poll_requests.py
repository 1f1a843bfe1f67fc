"""Asking for work through the API: what counts as a poll, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest


async def made(api: Any) -> str:
    """A pool and its default queue, whose path this is."""
    _, pool = await api("POST", "/work_pools/", {"name": "p", "type": "process"})
    return f"/work_queues/{pool['default_queue_id']}"


@pytest.mark.parametrize("said", [b"true", b"True", b"1", b"yes", b"on"])
async def test_the_pages_look_at_a_queue_without_polling_it(api: Any, said: bytes) -> None:
    queue = await made(api)
    assert await api("POST", f"{queue}/get_runs", {}, pages=said) == (200, [])
    assert (await api("GET", queue))[1]["last_polled"] is None
    assert await api("POST", f"{queue}/get_runs", {}, pages=b"no") == (200, [])
    assert (await api("GET", queue))[1]["status"] == "READY"


@pytest.mark.parametrize("said", [b"perhaps", b"", b"\xff"])
async def test_a_header_that_says_neither_yes_nor_no_is_refused(api: Any, said: bytes) -> None:
    queue = await made(api)
    status, refusal = await api("POST", f"{queue}/get_runs", {}, pages=said)
    assert status == 422
    assert refusal["exception_detail"][0]["loc"] == ["header", "x-prefect-ui"]
    assert (await api("GET", queue))[1]["last_polled"] is None


async def test_a_poll_is_noted_though_the_last_one_lies_in_the_future(api: Any) -> None:
    queue = await made(api)
    for path in ("/work_pools/p/get_scheduled_flow_runs", f"{queue}/get_runs"):
        assert await api("POST", path) == (200, [])
        await api("PATCH", queue, {"last_polled": "2999-01-01T00:00:00Z"})
        assert await api("POST", path) == (200, [])
        assert (await api("GET", queue))[1]["last_polled"] < "2999"


async def test_a_queue_that_a_pool_lacks_is_not_polled_beside_others(api: Any) -> None:
    queue = await made(api)
    body = {"work_queue_names": ["default", "none"]}
    assert (await api("POST", "/work_pools/p/get_scheduled_flow_runs", body))[0] == 404
    assert (await api("GET", queue))[1]["last_polled"] is None


@pytest.mark.parametrize("body", [{}, [], None])
async def test_a_runner_must_name_its_deployments(api: Any, body: Any) -> None:
    status, refusal = await api("POST", "/deployments/get_scheduled_flow_runs", body)
    assert status == 422
    places = [fault["loc"] for fault in refusal["exception_detail"]]
    assert ["body", "deployment_ids"] in places
