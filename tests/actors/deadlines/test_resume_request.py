"""`POST /flow_runs/{id}/resume` from bytes to bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from deadline_world import World

from lictor.actors.ingress.api import flow_run_resume, inputs
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request
from lictor.actors.orchestrator import Orchestrator

Api = Callable[..., Awaitable[tuple[int, Any]]]
SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'


@pytest.fixture
def api(world: World) -> Api:
    services: Any = world
    services.orchestrator = Orchestrator(world.journal)
    handle = build_handle(
        services, (*flow_run_resume.OPERATIONS, *inputs.OPERATIONS), world.settings
    )

    async def call(path: str, body: Any = None) -> tuple[int, Any]:
        raw = b"" if body is None else msgspec.json.encode(body)
        response = await handle(Request("POST", f"/api{path}", b"", [], raw))
        return response.status, msgspec.json.decode(response.body)

    return call


async def paused(world: World, **details: Any) -> str:
    run_id = await world.run("RUNNING")
    await world.set_state(run_id, "PAUSED", **details)
    return run_id


@pytest.mark.parametrize("body", [None, {}, {"run_input": None}])
async def test_a_pause_is_left_without_a_word(world: World, api: Api, body: Any) -> None:
    run_id = await paused(world)
    status, answer = await api(f"/flow_runs/{run_id}/resume", body)
    assert (status, answer["status"], answer["state"]["type"]) == (201, "ACCEPT", "RUNNING")
    status, answer = await api(f"/flow_runs/{run_id}/resume", body)
    assert status == 200
    assert answer["state"] is None
    assert (answer["status"], answer["details"]["type"]) == ("ABORT", "abort_details")


async def test_input_is_checked_and_kept(world: World, api: Api) -> None:
    keyset = {"schema": "k-schema", "response": "k-response"}
    run_id = await paused(world, run_input_keyset=keyset)
    await api(f"/flow_runs/{run_id}/input", {"key": "k-schema", "value": SCHEMA})
    status, answer = await api(f"/flow_runs/{run_id}/resume", {"run_input": {"n": "x"}})
    assert (status, answer["status"], answer["state"]["name"]) == (200, "REJECT", "Paused")
    status, answer = await api(f"/flow_runs/{run_id}/resume", {"run_input": {"n": 1}})
    assert (status, answer["status"]) == (201, "ACCEPT")
    row = world.readers.inline(
        lambda tx: tx.one("SELECT value FROM flow_run_input WHERE key = 'k-response'")
    )
    assert row == ('{"n":1}',)


async def test_an_unknown_run_is_404_and_input_that_is_no_object_422(
    world: World, api: Api
) -> None:
    status, _ = await api(f"/flow_runs/{world.mint.id()}/resume")
    assert status == 404
    status, answer = await api(f"/flow_runs/{await paused(world)}/resume", {"run_input": 5})
    assert status == 422
    assert answer["exception_detail"][0]["loc"] == ["body", "run_input"]
