"""`lictor agenda`: asks a running server, over HTTP, for the runs due in the next hours."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from lictor.daemon.why import AUTH_VARIABLE, DEFAULT_URL, TIMEOUT_S, URL_VARIABLE, NoAnswer

PAGE = 200
"""Runs in one request: the most that the server's default allows."""


def due(
    now: datetime, hours: float, url: str | None, environment: Mapping[str, str]
) -> Iterator[str]:
    """One line for each scheduled run that is due until `hours` from now, overdue ones first.

    Raises:
        NoAnswer: the server cannot be reached, or refuses.
    """
    base = (url or environment.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise NoAnswer(f"{base} is not the address of an API; give one like {DEFAULT_URL}.")
    before = (now + timedelta(hours=hours)).isoformat()
    body: dict[str, Any] = {
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
        "limit": PAGE,
        "offset": 0,
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": before},
        },
    }
    while True:
        runs = _ask(base, body, environment.get(AUTH_VARIABLE))
        for run in runs:
            yield _line(run)
        if len(runs) < PAGE:
            return
        body["offset"] += PAGE


def _line(run: dict[str, Any]) -> str:
    moment = datetime.fromisoformat(run["next_scheduled_start_time"]).astimezone()
    queue = "/".join(each for each in (run["work_pool_name"], run["work_queue_name"]) if each)
    parts = (f"{moment:%a %Y-%m-%d %H:%M:%S %Z}", run["state_name"], run["name"], queue, run["id"])
    return "  ".join(part for part in parts if part)


def _ask(base: str, body: dict[str, Any], credentials: str | None) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{base}/flow_runs/filter",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    if credentials:
        encoded = base64.b64encode(credentials.encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer: list[dict[str, Any]] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise NoAnswer(f"{base} answered {error.code}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(f"No answer from {base}: {reason}. Is the server running?") from error
    return answer
