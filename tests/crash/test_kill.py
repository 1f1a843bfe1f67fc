"""kill -9 in the middle of the work, again and again: what was acknowledged is there, whole."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import trio

from crash.conftest import SEED
from crash.load import Acknowledged, Http, connect, write_events, write_lines, write_runs
from crash.process import Lictor, lictor
from crash.workload import check
from lictor.schema.backends import sqlite

KILLS = 20
ACKNOWLEDGED_BEFORE_KILL = (20, 120)
"""The kill comes after so many acknowledgements, the exact number drawn from the seed."""
RUN_CLIENTS = 4
LINE_CLIENTS = 2
EVENT_CLIENTS = 2


async def flow_id_of(port: int, acknowledged: Acknowledged) -> str:
    async with await connect(port) as stream:
        _, answer = await Http(stream, acknowledged).post("/flows/", {"name": "crash"})
    id_: str = msgspec.json.decode(answer)["id"]
    return id_


async def load_and_kill(server: Lictor, acknowledged: Acknowledged, after: int) -> None:
    """Load the server until it has acknowledged `after` more writes, then kill it."""
    flow_id = await flow_id_of(server.port, acknowledged)
    left = after

    def note() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            server.process.kill()

    async with trio.open_nursery() as nursery:
        for _ in range(RUN_CLIENTS):
            nursery.start_soon(write_runs, server.port, flow_id, acknowledged, note)
        for _ in range(LINE_CLIENTS):
            nursery.start_soon(write_lines, server.port, acknowledged, note)
        for _ in range(EVENT_CLIENTS):
            nursery.start_soon(write_events, server.port, acknowledged, note)
    server.process.wait()


def check_file(path: Path, acknowledged: Acknowledged) -> None:
    """Everything acknowledged is in the file, nothing is half there, each run is where it was."""
    marks: list[object] = [
        [("run", id_) for id_ in acknowledged.runs],
        [("state", id_) for id_ in acknowledged.states],
        [("event", id_) for id_ in acknowledged.states | acknowledged.events],
        [("line", message) for message in acknowledged.lines],
    ]
    connection = sqlite.open_reader(path)
    check(connection, marks)
    now = dict(connection.execute("SELECT id, state_id FROM flow_run").fetchall())
    order = dict(connection.execute("SELECT id, seq FROM flow_run_state").fetchall())
    connection.close()
    for run_id, state_id in acknowledged.runs.items():
        assert order[now[run_id]] >= order[state_id], f"run {run_id} has gone back"


async def test_nothing_acknowledged_is_lost_however_often_the_process_is_killed(
    tmp_path: Path,
) -> None:
    chance, acknowledged = random.Random(SEED), Acknowledged()
    for _ in range(KILLS):
        with lictor(tmp_path) as server:
            check_file(server.database, acknowledged)
            await load_and_kill(server, acknowledged, chance.randint(*ACKNOWLEDGED_BEFORE_KILL))
    with lictor(tmp_path) as server:
        check_file(server.database, acknowledged)
    assert min(map(len, (acknowledged.runs, acknowledged.lines, acknowledged.events))) > KILLS
    assert all(status < 300 for status in acknowledged.statuses), acknowledged.statuses
