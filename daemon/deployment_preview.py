"""`lictor schedule preview` of a deployment: asks a running server for its schedules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from lictor.daemon.api_client import ApiClient, NoAnswer, Refusal
from lictor.daemon.schedule import change_line, date_text, described
from lictor.schema.rules.schedules import zones
from lictor.schema.rules.schedules.dates import dates
from lictor.schema.wire.schedules import Schedule, stored


class _Entry(NamedTuple):
    """A line of the preview. Entries of one moment stand in the order of `rank`."""

    at: datetime
    rank: int
    line: str


class _Named(NamedTuple):
    """A schedule of the deployment; `zone` is the one its dates are shown in."""

    label: str
    schedule: Schedule
    is_active: bool
    zone: ZoneInfo

    @property
    def title(self) -> str:
        """What stands beside its dates."""
        return self.label if self.is_active else f"{self.label} (inactive)"


def find(client: ApiClient, name: str) -> dict[str, Any]:
    """The deployment of this id or `flow/deployment` name, as the API answers it.

    Raises:
        NoAnswer: the server cannot be reached, or has no such deployment.
    """
    try:
        if (id_ := _as_id(name)) is not None:
            deployment: dict[str, Any] = client.ask(f"/deployments/{id_}")
            deployment["flow_name"] = client.ask(f"/flows/{deployment['flow_id']}")["name"]
        else:
            flow_name, _, own_name = name.partition("/")
            path = f"/deployments/name/{quote(flow_name, safe='')}/{quote(own_name, safe='')}"
            deployment = client.ask(path)
            deployment["flow_name"] = flow_name
    except Refusal as refusal:
        if refusal.status == 404:
            raise NoAnswer(f"There is no deployment {name} at {client.base}.") from refusal
        raise
    return deployment


def is_name(text: str) -> bool:
    """Whether a text may be the id or the `flow/deployment` name of a deployment."""
    flow_name, _, own_name = text.partition("/")
    return _as_id(text) is not None or bool(flow_name and own_name and "/" not in own_name)


def preview(
    client: ApiClient, name: str, timezone: str | None, count: int, now: datetime
) -> Iterator[str]:
    """What schedules a deployment has, then the next `count` dates of each, in order of time.

    `timezone`: the zone to show all dates in; None: each in the zone of its schedule.

    Raises:
        NoAnswer: the server cannot be reached, or has no such deployment.
        ValueError: there is no such zone.
    """
    shown_in = None if timezone is None else zones.zone(timezone)
    deployment = find(client, name)
    paused = "  paused: nothing is scheduled until it is resumed" if deployment["paused"] else ""
    yield f"{deployment['flow_name']}/{deployment['name']}  {deployment['id']}{paused}"
    schedules = [_named(each, shown_in) for each in deployment["schedules"]]
    for each in schedules:
        active = "active" if each.is_active else "inactive"
        zone = each.schedule.timezone or "UTC"
        parts = [each.label, described(each.schedule), zone, active]
        yield "  " + "  ".join(dict.fromkeys(parts))
    if not schedules:
        yield "  no schedules"
        return
    yield ""
    for entry in sorted(_entries(schedules, count, now), key=lambda entry: entry[:2]):
        yield entry.line


def _named(answer: dict[str, Any], shown_in: ZoneInfo | None) -> _Named:
    schedule = stored(json.dumps(answer["schedule"]))
    label = answer["slug"] or described(schedule)
    return _Named(label, schedule, answer["active"], shown_in or zones.zone(schedule.timezone))


def _entries(schedules: list[_Named], count: int, now: datetime) -> Iterator[_Entry]:
    last: dict[str, datetime] = {}
    for each in schedules:
        # One more than shown: is there more?
        found = [date.astimezone(each.zone) for date in dates(each.schedule, now, n=count + 1)]
        for date in found[:count]:
            yield _Entry(date, 1, f"{date_text(date)}  {each.title}")
        if not found:
            yield _Entry(now, 2, f"no more dates  {each.title}")
            continue
        end = found[:count][-1]
        if len(found) > count and len(schedules) > 1:
            yield _Entry(end, 2, f"...  {each.title} goes on")
        last[each.zone.key] = max(end, last.get(each.zone.key, end))
    for key, end in last.items():
        zone = ZoneInfo(key)
        for change in zones.changes(zone, now, end):
            yield _Entry(change.at, 0, change_line(change, zone, key if len(last) > 1 else ""))


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
