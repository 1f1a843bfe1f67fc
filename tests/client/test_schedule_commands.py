"""`lictor agenda` and `lictor schedule preview` beside a server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from lictor_process import PATIENCE_S, Lictor, Start, clean_environment

SCHEDULES = [
    {"schedule": {"cron": "0 0 1 1 *", "timezone": "Europe/Berlin"}, "slug": "new-year"},
    {"schedule": {"interval": 60.0, "anchor_date": "2020-01-01T00:00:00Z"}, "slug": "minutes"},
    {"schedule": {"rrule": "FREQ=YEARLY"}, "slug": "off", "active": False},
]


def command(lictor: Lictor, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "lictor.daemon", *arguments],
        env=clean_environment(PREFECT_API_URL=lictor.url, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def post(lictor: Lictor, path: str, body: dict[str, Any], **headers: str) -> Any:
    status, answer = lictor.ask(path, body, **headers)
    assert status in (200, 201), answer
    return msgspec.json.decode(answer) if answer else None


def deploy(lictor: Lictor, name: str, **fields: Any) -> str:
    flow = post(lictor, "/flows/", {"name": "etl"})
    body = {"name": name, "flow_id": flow["id"], "schedules": SCHEDULES, **fields}
    id_: str = post(lictor, "/deployments/", body)["id"]
    return id_


@pytest.fixture
def lictor(start: Start) -> Lictor:
    return start().until_ready()


def test_the_schedules_of_a_deployment_are_previewed_by_id_and_by_name(lictor: Lictor) -> None:
    id_ = deploy(lictor, "busy", paused=True)
    code, lines = command(lictor, "schedule", "preview", id_, "--count", "2")
    assert code == 0, lines
    assert lines[0] == f"etl/busy  {id_}  paused: nothing is scheduled until it is resumed"
    assert {line.split()[0] for line in lines[1:4]} == {"new-year", "minutes", "off"}
    dates = [line for line in lines[5:] if "(UTC" in line]
    assert [line.split("  ")[1] for line in dates[:2]] == ["minutes"] * 2
    assert sorted(line.split("  ")[1] for line in dates[2:]) == [
        "new-year", "new-year", "off (inactive)", "off (inactive)"
    ]  # fmt: skip
    assert any("00:00:00 CET (UTC+0100)  new-year" in line for line in dates)
    assert any("Europe/Berlin: clocks go forward" in line for line in lines)
    by_name = command(lictor, "schedule", "preview", "etl/busy", "--timezone", "UTC")
    assert by_name[0] == 0
    assert any("12-31 23:00:00 UTC (UTC+0000)  new-year" in line for line in by_name[1])
    assert command(lictor, "schedule", "preview", "etl/other") == (
        1, [f"lictor: There is no deployment etl/other at {lictor.url}."]
    )  # fmt: skip


def test_an_agenda_has_overdue_runs_then_runs_then_planned_dates(lictor: Lictor) -> None:
    post(lictor, "/work_pools/", {"name": "pool", "type": "process"})
    id_ = deploy(lictor, "busy", work_pool_name="pool")
    deploy(lictor, "paused", paused=True)
    # The scheduler does so by itself, and this says when it is done.
    post(lictor, f"/deployments/{id_}/schedule", {})
    overdue = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2020-01-01T00:00:00Z"}}
    post(lictor, f"/deployments/{id_}/create_flow_run", {"name": "overdue", "state": overdue})
    code, lines = command(lictor, "agenda", "--json")
    assert code == 0, lines
    entries = [json.loads(line) for line in lines]
    assert [entry["due"] for entry in entries] == sorted(entry["due"] for entry in entries)
    assert entries[0]["run_name"] == "overdue"
    assert entries[0]["overdue_s"] > 0
    assert {(entry["flow"], entry["deployment"]) for entry in entries} == {("etl", "busy")}
    assert {entry["work_pool"] for entry in entries} == {"pool"}
    planned = [entry for entry in entries if entry["state"] == "planned"]
    assert entries[-len(planned) :] == planned
    assert len(entries) - len(planned) >= 60
    assert [entry["more"] > 0 for entry in planned] == [False] * 10 + [True]
    assert command(lictor, "agenda", "--deployment", "etl/paused") == (0, [])
    code, lines = command(lictor, "agenda", "--timezone", "Asia/Tokyo", "--deployment", id_)
    assert code == 0
    assert lines[0].startswith("Wed 2020-01-01 09:00:00 JST  ")
    assert "etl/busy  pool/default  overdue" in lines[0]


def test_a_server_that_wants_credentials_says_so(start: Start) -> None:
    lictor = start(LICTOR_API_AUTH_STRING="me:secret").until_ready()
    refused = [f"lictor: {lictor.url} asks for credentials: set PREFECT_API_AUTH_STRING."]
    assert command(lictor, "agenda") == (1, refused)
    assert command(lictor, "schedule", "preview", "etl/busy") == (1, refused)
    given = {"PREFECT_API_AUTH_STRING": "me:secret"}
    assert command(lictor, "agenda", **given) == (0, [])
