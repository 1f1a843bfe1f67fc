"""Clean-up messages through the whole process, to an unmodified worker of Prefect."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from lictor_process import PATIENCE_S, Lictor, Start, clean_environment
from trio_websocket import WebSocketConnection, wrap_client_stream

PROGRAMS = Path(__file__).parent / "programs"
RUNS = 4
KILLED = -9
MOMENT = "2026-11-21T12:00:00Z"
HELLO = {
    "worker_name": "w",
    "worker_type": "docker",
    "heartbeat_interval_seconds": 30,
    "supported_channel_versions": ["work_pool_worker_channel.v1"],
    "requested_capabilities": [
        "worker_heartbeat.v1",
        "work_pool_snapshot.v1",
        "cleanup_delivery.v1",
    ],
    "handled_cleanup_kinds": ["cancelling_timeout_teardown.v1"],
}


@asynccontextmanager
async def worker(lictor: Lictor, consumer_id: str) -> AsyncIterator[WebSocketConnection]:
    """A worker of the pool `pool` that takes clean-up messages."""
    address, _, path = lictor.url.removeprefix("http://").partition("/")
    host, port = address.split(":")
    path = f"/{path}/work_pools/pool/workers/connect"
    with trio.fail_after(PATIENCE_S):
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, host, path, subprotocols=["prefect"])
            await socket.send_message(json.dumps({"type": "auth", "token": None}))
            assert json.loads(await socket.get_message()) == {"type": "auth_success"}
            await say(socket, "worker.hello.v1", {**HELLO, "consumer_id": consumer_id})
            await hear(socket, "worker.ready.v1")
            yield socket
            nursery.cancel_scope.cancel()


async def say(socket: WebSocketConnection, type_: str, payload: dict[str, Any]) -> None:
    frame = {"type": type_, "id": str(uuid.uuid4()), "sent_at": MOMENT, "payload": payload}
    await socket.send_message(json.dumps(frame))


async def hear(socket: WebSocketConnection, type_: str) -> dict[str, Any]:
    """The payload of the next frame of this type."""
    while True:
        frame = json.loads(await socket.get_message())
        if frame["type"] == type_:
            payload: dict[str, Any] = frame["payload"]
            return payload


def post(lictor: Lictor, path: str, body: object) -> dict[str, Any]:
    status, answer = lictor.ask(path, body)
    assert status in (200, 201), answer
    found: dict[str, Any] = json.loads(answer)
    return found


def cancel_a_run(lictor: Lictor) -> str:
    """A run of the pool `pool`, made here, that is to be cancelled; its id."""
    post(lictor, "/work_pools/", {"name": "pool", "type": "docker"})
    flow = post(lictor, "/flows/", {"name": "f"})
    deployment = {"name": "d", "flow_id": flow["id"], "work_pool_name": "pool"}
    deployment_id = post(lictor, "/deployments/", deployment)["id"]
    body = {"state": {"type": "RUNNING"}}
    run_id = str(post(lictor, f"/deployments/{deployment_id}/create_flow_run", body)["id"])
    cancelling = {"state": {"type": "CANCELLING"}, "force": True}
    post(lictor, f"/flow_runs/{run_id}/set_state", cancelling)
    return run_id


async def test_a_message_survives_the_kill_of_the_server_and_the_death_of_its_worker(
    start: Start,
) -> None:
    settings = {"LICTOR_CANCELLING_TIMEOUT_S": "0.2", "LICTOR_CLEANUP_LEASE_S": "1"}
    lictor = start(**settings).until_ready()
    run_id = cancel_a_run(lictor)
    async with worker(lictor, str(uuid.uuid4())) as socket:
        message = await hear(socket, "cleanup.message.v1")
        assert (message["target"]["flow_run_id"], message["delivery_count"]) == (run_id, 1)
        lictor.signal(signal.SIGKILL)
        lictor.ended()
    lictor = start(**settings).until_ready()
    async with worker(lictor, str(uuid.uuid4())) as socket:
        again = await hear(socket, "cleanup.message.v1")
        assert (again["message_id"], again["delivery_count"]) == (message["message_id"], 2)
        said = {key: again[key] for key in ("message_id", "reservation_token")}
        await say(socket, "cleanup.ack.v1", said)
        assert (await hear(socket, "cleanup.operation_result.v1"))["status"] == "accepted"


def test_a_worker_kills_what_is_left_of_runs_whose_cancellation_timed_out(
    start: Start, prefect_python: Path, tmp_path: Path
) -> None:
    lictor = start(LICTOR_CANCELLING_TIMEOUT_S="0.5").until_ready()
    done = subprocess.run(
        [prefect_python, PROGRAMS / "teardown.py"],
        env=clean_environment(
            PREFECT_API_URL=lictor.url,
            PREFECT_HOME=str(tmp_path / "prefect"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "said": ["ack accepted"] * RUNS,
        "ends": [KILLED] * RUNS,
        "states": ["Cancelled"] * RUNS,
    }
    assert lictor.stop()[0] == 0
    store = sqlite3.connect(lictor.home / "lictor.db")
    rows = store.execute("SELECT status, delivery_count FROM cleanup_message").fetchall()
    store.close()
    assert rows == [("acknowledged", 1)] * RUNS
