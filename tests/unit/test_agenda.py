"""`lictor agenda`: what is listed, in which order, and what it costs the server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from lictor.daemon import agenda
from lictor.daemon.agenda import PAGE, PLANNED_MAX, Agenda, Entry
from lictor.daemon.api_client import ApiClient
from lictor.daemon.commands import cli

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


class Server(ApiClient):
    """Answers as the API does, from lists; `asked` are the requests it got."""

    def __init__(self) -> None:
        super().__init__(None, {})
        self.runs: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = []
        self.asked: list[tuple[str, Any]] = []

    def ask(self, path: str, body: Any = None) -> Any:
        self.asked.append((path, json.loads(json.dumps(body))))
        assert body["limit"] == PAGE
        found = getattr(self, f"_{path.split('/')[1]}")(body)
        first = body.get("offset", 0)
        return found[first : first + PAGE]

    def _flows(self, body: Any) -> list[Any]:
        return [{"id": id_, "name": f"flow-{id_}"} for id_ in body["flows"]["id"]["any_"]]

    def _deployments(self, body: Any) -> list[Any]:
        wanted = body["deployments"]
        if "paused" in wanted:
            return [each for each in self.deployments if not each["paused"]]
        return [each for each in self.deployments if each["id"] in wanted["id"]["any_"]]

    def _flow_runs(self, body: Any) -> list[Any]:
        wanted = body["flow_runs"]
        if "not_any_" in wanted["state"]["type"]:
            return [run for run in self.runs if run["state_type"] != "SCHEDULED"]
        due = wanted["next_scheduled_start_time"]
        runs = [
            run
            for run in self.runs
            if run["state_type"] == "SCHEDULED"
            and run["next_scheduled_start_time"] <= due["before_"]
            and run["next_scheduled_start_time"] >= due.get("after_", "")
        ]
        return sorted(runs, key=lambda run: run["next_scheduled_start_time"])

    def deploy(self, name: str, seconds: float, **fields: Any) -> None:
        schedule = {
            "interval": seconds, "anchor_date": "2027-01-15T00:00:00.000000Z", "timezone": "UTC",
        }  # fmt: skip
        self.deployments.append(
            {
                "id": name, "name": name, "flow_id": "f", "paused": False, "work_pool_name": "pool",
                "work_queue_name": "queue",
                "schedules": [
                    {"id": f"of-{name}", "slug": None, "active": True, "schedule": schedule}
                ],
            }
            | fields
        )  # fmt: skip

    def run(self, after_s: float, deployment: str | None = None, **fields: Any) -> None:
        due = (NOW + timedelta(seconds=after_s)).isoformat()
        self.runs.append(
            {
                "id": f"{len(self.runs):04}", "name": f"at {after_s}", "state_type": "SCHEDULED",
                "state_name": "Scheduled", "flow_id": "f", "deployment_id": deployment,
                "created_by": {"id": f"of-{deployment}"} if deployment else None,
                "next_scheduled_start_time": due, "expected_start_time": due,
                "work_pool_name": None, "work_queue_name": None,
            }
            | fields
        )  # fmt: skip


@pytest.fixture
def server() -> Server:
    return Server()


def listed(server: Server, hours: float = 24.0) -> list[Entry]:
    return list(Agenda(server, NOW, hours).entries())


def after_s(entries: list[Entry]) -> list[tuple[float, str]]:
    return [((entry.due - NOW).total_seconds(), entry.state) for entry in entries]


def test_dates_without_a_run_stand_among_the_runs_in_order_of_time(server: Server) -> None:
    server.deploy("d", 3600)
    for seconds in (0, 3600, 7200):
        server.run(seconds, "d")
    server.run(5400)
    server.run(-60, state_name="Late")
    found = listed(server, 4)
    assert after_s(found) == [
        (-60, "Late"), (0, "Scheduled"), (3600, "Scheduled"), (5400, "Scheduled"),
        (7200, "Scheduled"), (10_800, "planned"), (14_400, "planned"),
    ]  # fmt: skip
    assert (found[0].flow, found[0].deployment, found[0].overdue_s) == ("flow-f", None, 60)
    assert (found[1].deployment, found[1].run_name) == ("d", "at 0")
    planned = found[-1]
    assert (planned.flow, planned.deployment, planned.run_id) == ("flow-f", "d", None)
    assert (planned.work_pool, planned.work_queue) == ("pool", "queue")


def test_a_date_whose_run_was_cancelled_is_not_planned_again(server: Server) -> None:
    server.deploy("d", 3600)
    server.run(3600, "d", state_type="CANCELLED")
    assert after_s(listed(server, 2)) == [(0, "planned"), (7200, "planned")]


@pytest.mark.parametrize("fields", [{"paused": True}, {"schedules": []}])
def test_what_makes_no_runs_has_no_planned_dates(server: Server, fields: dict[str, Any]) -> None:
    server.deploy("d", 60, **fields)
    assert listed(server) == []


def test_an_inactive_schedule_has_no_planned_dates(server: Server) -> None:
    server.deploy("d", 60)
    server.deployments[0]["schedules"][0]["active"] = False
    assert listed(server) == []


def test_a_frequent_schedule_does_not_flood(server: Server) -> None:
    server.deploy("seconds", 1)
    server.deploy("minutes", 60)
    server.run(0, "minutes")
    found = listed(server, 1)
    assert len(found) == 1 + 2 * (PLANNED_MAX + 1)
    seconds, minutes = (entry for entry in found if entry.more)
    assert (seconds.deployment, seconds.more, seconds.more_is_least) == ("seconds", 992, True)
    # 61 in an hour, both ends included; one of them has its run.
    assert (minutes.deployment, minutes.more, minutes.more_is_least) == ("minutes", 50, False)
    assert agenda.as_line(seconds, "UTC") == (
        "Fri 2027-01-15 08:00:10 UTC  planned  flow-f/seconds  pool/queue"
        "  every 0:00:01, and from then on at least 992 more"
    )


def test_names_are_asked_for_once_in_a_page_and_not_for_each_run(server: Server) -> None:
    server.deploy("d", 60, paused=True)
    for number in range(2 * PAGE + 10):
        server.run(number, "d")
    assert len(listed(server)) == 2 * PAGE + 10
    paths = [path for path, _ in server.asked]
    assert paths.count("/flows/filter") == 1
    assert paths.count("/flow_runs/filter") == 1 + 3
    asked = [body["deployments"] for path, body in server.asked if path == "/deployments/filter"]
    assert asked == [{"paused": {"eq_": False}}, {"id": {"any_": ["d"]}}]


def test_runs_that_begin_between_two_pages_hide_no_others(server: Server) -> None:
    for number in range(PAGE + 50):
        server.run(number // 3)
    entries = Agenda(server, NOW, 24.0).entries()
    found = [next(entries) for _ in range(PAGE - 1)]
    del server.runs[:40]
    found += entries
    assert len(found) == len({entry.run_id for entry in found}) == PAGE + 50


def test_many_runs_of_one_moment_are_all_listed(server: Server) -> None:
    for _ in range(2 * PAGE + 1):
        server.run(5)
    assert len(listed(server)) == 2 * PAGE + 1


def test_a_line_says_how_long_a_run_is_overdue_and_shows_the_zone(server: Server) -> None:
    server.run(-90, state_name="Late", work_pool_name="p", work_queue_name="q")
    (entry,) = listed(server)
    assert agenda.as_line(entry, "Asia/Tokyo") == (
        "Fri 2027-01-15 16:58:30 JST  Late, overdue by 0:01:30  flow-f  p/q  at -90  0000"
    )
    assert json.loads(agenda.as_json(entry))["overdue_s"] == 90


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--url", "server:4200"], 1, "not the address"),
        (["--url", "http://127.0.0.1:1/api"], 1, "Is the server running"),
        (["--timezone", "Mars/Base"], 78, "Invalid timezone"),
    ],
)
def test_what_stands_against_it_is_one_line(arguments: list[str], code: int, line: str) -> None:
    result = CliRunner().invoke(cli, ["agenda", *arguments])
    assert result.exit_code == code
    assert line in result.output
    assert len(result.output.splitlines()) == 1
