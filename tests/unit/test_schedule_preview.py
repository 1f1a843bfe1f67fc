"""`lictor schedule preview`, of an expression and of a deployment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from lictor.daemon.api_client import ApiClient, NoAnswer, Refusal
from lictor.daemon.commands import cli
from lictor.daemon.deployment_preview import preview as of_deployment
from lictor.daemon.schedule import NoSchedule, preview

ID = "0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10"
BEFORE_WINTER = datetime(2026, 10, 24, tzinfo=UTC)


def test_a_change_of_clocks_stands_between_the_dates_around_it() -> None:
    assert list(preview("0 12 * * *", "Europe/Berlin", 2, BEFORE_WINTER)) == [
        "Sat 2026-10-24 12:00:00 CEST (UTC+0200)",
        "-- clocks go back by 1:00:00 at 2026-10-25 02:00 CET --",
        "Sun 2026-10-25 12:00:00 CET (UTC+0100)",
    ]


@pytest.mark.parametrize(
    ("expression", "first"),
    [("PT36H", "Sat 2026-10-24 00:00:00 UTC (UTC+0000)"), ("FREQ=DAILY;COUNT=1", "no more dates")],
)
def test_durations_and_rules_are_schedules_as_well(expression: str, first: str) -> None:
    assert next(preview(expression, None, 1, BEFORE_WINTER)) == first


@pytest.mark.parametrize(("expression", "zone"), [("x y", None), ("0 0 * * *", "Mars/Base")])
def test_what_is_no_schedule_is_refused(expression: str, zone: str | None) -> None:
    with pytest.raises(NoSchedule):
        list(preview(expression, zone, 1, BEFORE_WINTER))


class Server(ApiClient):
    """Has one deployment, with these schedules."""

    def __init__(self, *schedules: dict[str, Any], paused: bool = False) -> None:
        super().__init__(None, {})
        self.deployment = {
            "id": ID, "name": "nightly", "flow_id": "f", "paused": paused,
            "schedules": [
                {"slug": None, "active": True, "schedule": each} | each.pop("with", {})
                for each in schedules
            ],
        }  # fmt: skip

    def ask(self, path: str, body: object = None) -> Any:
        if path == "/flows/f":
            return {"name": "etl"}
        if path in (f"/deployments/{ID}", "/deployments/name/etl/nightly"):
            return dict(self.deployment)
        raise Refusal("answered 404", 404, "Deployment not found")


def shown(server: Server, count: int = 2, timezone: str | None = None, name: str = ID) -> list[str]:
    return list(of_deployment(server, name, timezone, count, BEFORE_WINTER))


NOON = {"cron": "0 12 * * *", "timezone": "Europe/Berlin"}
LATE_NOON = {"cron": "0 13 * * *", "timezone": "America/New_York"}


@pytest.mark.parametrize("name", [ID, "etl/nightly"])
def test_schedules_of_a_deployment_are_merged_in_order_of_time(name: str) -> None:
    server = Server(
        {**NOON, "with": {"slug": "noon"}}, {**LATE_NOON, "with": {"active": False}}, paused=True
    )
    assert shown(server, name=name) == [
        f"etl/nightly  {ID}  paused: nothing is scheduled until it is resumed",
        "  noon  cron 0 12 * * *  Europe/Berlin  active",
        "  cron 0 13 * * *  America/New_York  inactive",
        "",
        "Sat 2026-10-24 12:00:00 CEST (UTC+0200)  noon",
        "Sat 2026-10-24 13:00:00 EDT (UTC-0400)  cron 0 13 * * * (inactive)",
        "-- Europe/Berlin: clocks go back by 1:00:00 at 2026-10-25 02:00 CET --",
        "Sun 2026-10-25 12:00:00 CET (UTC+0100)  noon",
        "...  noon goes on",
        "Sun 2026-10-25 13:00:00 EDT (UTC-0400)  cron 0 13 * * * (inactive)",
        "...  cron 0 13 * * * (inactive) goes on",
    ]


def test_dates_of_a_deployment_may_be_shown_in_another_zone() -> None:
    assert shown(Server(dict(NOON)), 1, "Asia/Tokyo")[3:] == [
        "Sat 2026-10-24 19:00:00 JST (UTC+0900)  cron 0 12 * * *"
    ]


def test_a_deployment_without_schedules_and_a_schedule_without_dates_say_so() -> None:
    assert shown(Server())[1:] == ["  no schedules"]
    over = {"rrule": "DTSTART:20200101T000000\nRRULE:FREQ=DAILY;COUNT=1", "timezone": "UTC"}
    assert shown(Server(over))[3].startswith("no more dates  rrule DTSTART")


def test_a_deployment_that_is_not_there_is_named() -> None:
    with pytest.raises(NoAnswer, match="There is no deployment etl/other at"):
        shown(Server(), name="etl/other")


@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (["x y"], 78, ["Invalid cron string"]),
        (["etl/nightly"], 1, ["Is the server running"]),
        (["*/5 * * *"], 1, ["*/5 * * * is no schedule", "Is the server running"]),
        (["etl/nightly", "--timezone", "Mars/Base"], 78, ["Invalid timezone"]),
    ],
)
def test_the_command_says_what_it_took_its_argument_for(
    arguments: list[str], code: int, lines: list[str]
) -> None:
    url = ["--url", "http://127.0.0.1:1/api"]
    result = CliRunner().invoke(cli, ["schedule", "preview", *url, *arguments])
    assert result.exit_code == code
    printed = result.output.splitlines()
    assert len(printed) == len(lines)
    assert all(part in line for part, line in zip(lines, printed, strict=True))
