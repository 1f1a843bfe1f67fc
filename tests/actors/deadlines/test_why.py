"""`GET /lictor/flow_runs/{id}/why` and `lictor why`, against runs in a real table."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from deadline_world import World

from lictor.actors.ingress.api import explanations
from lictor.actors.ingress.operations import Call
from lictor.daemon import why
from lictor.daemon.api_client import AUTH_VARIABLE, DEFAULT_URL, URL_VARIABLE, NoAnswer
from lictor.daemon.commands import cli
from lictor.schema.errors import NotFound

RUN_ID = UUID("0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10")


async def explained(world: World, run_id: str) -> Any:
    (operation,) = explanations.OPERATIONS
    services: Any = world
    request: Any = None
    return await operation.handler(Call(services, request, (run_id,), None, {}))


async def test_runs_are_explained_from_their_rows(world: World) -> None:
    retrying = await world.run_with({"empirical_policy": {"retries": 1}}, "RUNNING")
    await world.set_state(retrying, "FAILED")
    beating = await world.run("RUNNING")
    await world.beat(beating)
    paused = await world.run("RUNNING")
    task_id = await world.task(paused)
    child = await world.run_with({"parent_task_run_id": task_id}, "PENDING")
    deadline = world.in_s(100)
    await world.set_state(paused, "PAUSED", pause_timeout=deadline)
    found = {name: await explained(world, run_id) for name, run_id in {
        "retrying": retrying, "beating": beating, "paused": paused, "child": child,
    }.items()}  # fmt: skip
    assert found["retrying"].reason == "awaiting_retry"
    assert "attempt 2 of 2" in found["retrying"].sentence
    assert "heartbeat" in found["beating"].sentence
    assert found["beating"].facts["last_heartbeat"] is not None
    assert found["paused"].until == deadline
    assert found["child"].reason == "parent_not_running"
    assert found["child"].facts["parent_flow_run_id"] == paused


async def test_an_unknown_run_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await explained(world, str(RUN_ID))


class Answering:
    """Stands for `urlopen`: answers with a body, or with a status."""

    def __init__(self, body: Any, status: int = 200) -> None:
        self.body, self.status = json.dumps(body).encode(), status
        self.request: urllib.request.Request | None = None

    def __call__(self, request: urllib.request.Request, timeout: float) -> Any:
        self.request = request
        stream = io.BytesIO(self.body)
        if self.status != 200:
            raise urllib.error.HTTPError(request.full_url, self.status, "", Message(), stream)
        return stream


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in (URL_VARIABLE, AUTH_VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def install(body: Any, status: int = 200) -> Answering:
        answer = Answering(body, status)
        monkeypatch.setattr(urllib.request, "urlopen", answer)
        return answer

    return install


def test_the_command_prints_the_sentence(answering: Any) -> None:
    answer = answering({"sentence": "It waits.", "until": None})
    result = CliRunner().invoke(cli, ["why", str(RUN_ID)])
    assert (result.exit_code, result.output) == (0, "It waits.\n")
    assert answer.request.full_url == f"{DEFAULT_URL}/lictor/flow_runs/{RUN_ID}/why"
    result = CliRunner().invoke(cli, ["why", "--json", str(RUN_ID)])
    assert json.loads(result.output)["until"] is None


def test_the_address_is_the_flags_then_the_clients(answering: Any) -> None:
    answer = answering({"sentence": ""})
    environment = {URL_VARIABLE: "http://a:1/api/", AUTH_VARIABLE: "me:secret"}
    why.ask(RUN_ID, None, environment)
    assert answer.request.full_url.startswith("http://a:1/api/lictor/")
    assert answer.request.get_header("Authorization") == "Basic bWU6c2VjcmV0"
    why.ask(RUN_ID, "http://b:2/api", environment)
    assert answer.request.full_url.startswith("http://b:2/api/lictor/")


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (404, {"detail": "Flow run not found"}, "There is no flow run"),
        (404, {"detail": "Not Found"}, "not the API of a lictor"),
        (404, [], "not the API of a lictor"),
        (401, {}, "asks for credentials"),
        (503, {}, "answered 503"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    answering: Any, status: int, body: Any, line: str
) -> None:
    answering(body, status)
    result = CliRunner().invoke(cli, ["why", str(RUN_ID)])
    assert result.exit_code == 1
    assert line in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("url", ["file:///etc/hosts", "localhost:4200", ""])
def test_only_addresses_of_the_web_are_asked(url: str) -> None:
    if url:
        with pytest.raises(NoAnswer, match="not the address"):
            why.ask(RUN_ID, url, {})
    else:
        with pytest.raises(NoAnswer, match="Is the server running"):
            why.ask(RUN_ID, None, {URL_VARIABLE: "http://127.0.0.1:1/api"})
