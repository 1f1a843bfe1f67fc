"""Background tasks through the whole process: a kill in the middle, and the unmodified client."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from lictor_process import PATIENCE_S, Lictor, Start, clean_environment
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

PROGRAMS = Path(__file__).parent / "programs"


def schedule(lictor: Lictor, name: str) -> None:
    state = {"type": "SCHEDULED", "state_details": {"deferred": True}}
    body = {"task_key": "task", "dynamic_key": name, "name": name, "state": state}
    assert lictor.ask("/task_runs/", body)[0] == 201


@asynccontextmanager
async def worker(lictor: Lictor) -> AsyncIterator[WebSocketConnection]:
    """A task worker that is connected and subscribed."""
    address, _, path = lictor.url.removeprefix("http://").partition("/")
    host, port = address.split(":")
    path = f"/{path}/task_runs/subscriptions/scheduled"
    with trio.fail_after(PATIENCE_S):
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, host, path, subprotocols=["prefect"])
            await say(socket, type="auth", token=None)
            assert await hear(socket) == {"type": "auth_success"}
            await say(socket, type="subscribe", keys=["task"], client_id="w")
            yield socket
            nursery.cancel_scope.cancel()


async def say(socket: WebSocketConnection, **message: Any) -> None:
    await socket.send_message(json.dumps(message))


async def hear(socket: WebSocketConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.get_message())
    return message


async def test_the_queue_survives_a_kill(start: Start) -> None:
    lictor = start().until_ready()
    for name in ("held", "on its way", "waiting"):
        schedule(lictor, name)
    async with worker(lictor) as socket:
        assert (await hear(socket))["name"] == "held"
        await say(socket, type="ack")
        # The next run comes after the acknowledgement was read; a commit later it is written.
        assert (await hear(socket))["name"] == "on its way"
        schedule(lictor, "last")
        lictor.signal(signal.SIGKILL)
        lictor.ended()
    lictor = start(LICTOR_TASK_HOLD_S="1.5").until_ready()
    async with worker(lictor) as socket:
        for name in ("on its way", "waiting", "last", "held"):
            assert (await hear(socket))["name"] == name
            await say(socket, type="ack")


async def test_an_orderly_stop_tells_workers_to_come_again(start: Start) -> None:
    lictor = start().until_ready()
    schedule(lictor, "one")
    async with worker(lictor) as socket:
        assert (await hear(socket))["name"] == "one"
        lictor.signal()
        with pytest.raises(ConnectionClosed):
            await socket.get_message()
        # 1000 and 1001 would end the client's worker; this makes it connect again.
        assert socket.closed is not None
        assert socket.closed.code == 1012
    assert lictor.ended()[0] == 0
    lictor = start().until_ready()
    async with worker(lictor) as socket:
        assert (await hear(socket))["name"] == "one"


def test_the_client_runs_tasks_in_the_background(
    start: Start, prefect_python: Path, tmp_path: Path
) -> None:
    lictor = start().until_ready()
    environment = clean_environment(
        PREFECT_API_URL=lictor.url,
        PREFECT_HOME=str(tmp_path / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
    )
    done = subprocess.run(
        [prefect_python, PROGRAMS / "background.py"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"results": ["EARLY", "0", "1", "2"], "workers": [True]}
