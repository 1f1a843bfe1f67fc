"""`lictor agenda`: asks a running server, over HTTP, for what is due in the next hours.

Runs come in pages, and with each page the names of those flows and deployments that are not known
yet. Dates for which the server has made no run yet are computed here, from the schedules of the
deployments: both are in order of time, and are merged as they are read.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from lictor.daemon import deployment_preview
from lictor.daemon.api_client import ApiClient
from lictor.daemon.schedule import described
from lictor.schema.rules.schedules import zones
from lictor.schema.rules.schedules.dates import DATES_MAX, upcoming
from lictor.schema.wire.schedules import stored

PAGE = 200
"""Objects in one request: the most that the server's default allows."""
PLANNED_MAX = 10
"""Planned dates of one schedule that are listed one by one."""
PLANNED = "planned"
"""The state of what is not a run yet."""

Answer = dict[str, Any]
_Key = tuple[str, datetime]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is due, or a date that has none yet: then without `run_id`.

    With `more` it stands for that many dates of the schedule, the first of them at `due`; for at
    least so many, if `more_is_least`: behind about a thousand none are sought.
    """

    due: datetime
    state: str
    flow: str | None
    deployment: str | None
    work_pool: str | None
    work_queue: str | None
    overdue_s: float = 0.0
    run_id: str | None = None
    run_name: str | None = None
    schedule: str | None = None
    more: int = 0
    more_is_least: bool = False


class _Series:
    """The dates of an active schedule; `entry` says what else there is to say of them."""

    def __init__(self, schedule_id: str, entry: Entry, dates: Iterator[datetime]) -> None:
        self.schedule_id = schedule_id
        self.entry = entry
        self.listed = 0
        self.taken = 0
        self._dates = dates

    def __iter__(self) -> Iterator[_Planned]:
        for date in self._dates:
            self.taken += 1
            yield _Planned(date.astimezone(UTC), self)


class _Planned(NamedTuple):
    """A date of a schedule; whether a run has been made for it remains to be seen."""

    due: datetime
    series: _Series


class Agenda:
    """What is due until `hours` after `now`."""

    def __init__(self, client: ApiClient, now: datetime, hours: float) -> None:
        self._client = client
        self._now = now
        self._until = now + timedelta(hours=hours)
        self._flows: dict[str, str] = {}
        self._deployments: dict[str, str] = {}

    def entries(self, deployment: str | None = None) -> Iterator[Entry]:
        """In order of time, what is overdue first; of one `deployment`, if an id or name is given.

        Raises:
            NoAnswer: the server cannot be reached, refuses, or has no such deployment.
        """
        filters: Answer = {}
        if deployment is not None:
            id_ = deployment_preview.find(self._client, deployment)["id"]
            filters = {"deployments": {"id": {"any_": [id_]}}}
        series = list(self._series(filters))
        has_run = self._begun(filters)
        runs = self._noted(self._runs(filters), has_run)
        # Of one moment runs come first: which dates have one is known when the dates come.
        merged: Iterator[Entry | _Planned] = heapq.merge(
            runs, *series, key=lambda each: (each.due, isinstance(each, _Planned))
        )
        for each in merged:
            if isinstance(each, Entry):
                yield each
            elif (each.series.schedule_id, each.due) not in has_run:
                yield _listed(each)

    def _series(self, filters: Answer) -> Iterator[_Series]:
        """The active schedules of the deployments that are not paused."""
        criteria = {**filters.get("deployments", {}), "paused": {"eq_": False}}
        for page in self._pages("/deployments/filter", {"deployments": criteria}):
            self._deployments |= {each["id"]: each["name"] for each in page}
            self._name_flows(each["flow_id"] for each in page)
            for deployment in page:
                for schedule in deployment["schedules"]:
                    if schedule["active"]:
                        yield self._series_of(deployment, schedule)

    def _series_of(self, deployment: Answer, answer: Answer) -> _Series:
        schedule = stored(json.dumps(answer["schedule"]))
        entry = Entry(
            due=self._now,
            state=PLANNED,
            flow=self._flows.get(deployment["flow_id"]),
            deployment=deployment["name"],
            work_pool=deployment["work_pool_name"],
            work_queue=deployment["work_queue_name"],
            schedule=answer["slug"] or described(schedule),
        )
        dates = upcoming(schedule, self._now, self._until, DATES_MAX)
        return _Series(answer["id"], entry, dates)

    def _begun(self, filters: Answer) -> set[_Key]:
        """The dates ahead whose runs wait no more: begun before their time, or cancelled."""
        criteria = {
            "state": {"type": {"not_any_": ["SCHEDULED"]}},
            "expected_start_time": {"after_": _iso(self._now), "before_": _iso(self._until)},
        }
        pages = self._pages("/flow_runs/filter", {**filters, "flow_runs": criteria})
        return {_key(run) for run in chain.from_iterable(pages)}

    def _runs(self, filters: Answer) -> Iterator[Answer]:
        """The scheduled runs. A page begins at the moment at which the one before ended, so that
        runs that begin meanwhile do not push others out of sight.
        """
        due = {"before_": _iso(self._until)}
        seen: set[str] = set()
        while True:
            body = {
                **filters, "sort": "NEXT_SCHEDULED_START_TIME_ASC", "limit": PAGE,
                "offset": len(seen),
                "flow_runs": {
                    "state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": due,
                },
            }  # fmt: skip
            page: list[Answer] = self._client.ask("/flow_runs/filter", body)
            new = [run for run in page if run["id"] not in seen]
            self._name(new)
            yield from new
            if len(page) < PAGE:
                return
            last = page[-1]["next_scheduled_start_time"]
            if due.get("after_") != last:
                seen.clear()
                due["after_"] = last
            seen.update(run["id"] for run in page if run["next_scheduled_start_time"] == last)

    def _noted(self, runs: Iterable[Answer], has_run: set[_Key]) -> Iterator[Entry]:
        for run in runs:
            has_run.add(_key(run))
            due = datetime.fromisoformat(run["next_scheduled_start_time"])
            yield Entry(
                due=due,
                state=run["state_name"],
                flow=self._flows.get(run["flow_id"]),
                deployment=self._deployments.get(run["deployment_id"] or ""),
                work_pool=run["work_pool_name"],
                work_queue=run["work_queue_name"],
                overdue_s=max(0.0, (self._now - due).total_seconds()),
                run_id=run["id"],
                run_name=run["name"],
            )

    def _name(self, runs: list[Answer]) -> None:
        """Learn the names of the flows and deployments of these runs."""
        self._name_flows(run["flow_id"] for run in runs)
        ids = {run["deployment_id"] for run in runs if run["deployment_id"]}
        for found in self._by_id("deployments", ids - self._deployments.keys()):
            self._deployments[found["id"]] = found["name"]

    def _name_flows(self, ids: Iterable[str]) -> None:
        for found in self._by_id("flows", set(ids) - self._flows.keys()):
            self._flows[found["id"]] = found["name"]

    def _by_id(self, resource: str, ids: set[str]) -> list[Answer]:
        """Those that there are, in one request; at most `PAGE`."""
        if not ids:
            return []
        body = {resource: {"id": {"any_": sorted(ids)}}, "limit": PAGE}
        found: list[Answer] = self._client.ask(f"/{resource}/filter", body)
        return found

    def _pages(self, path: str, body: Answer) -> Iterator[list[Answer]]:
        offset = 0
        while True:
            page = self._client.ask(path, {**body, "limit": PAGE, "offset": offset})
            yield page
            if len(page) < PAGE:
                return
            offset += PAGE


def _listed(planned: _Planned) -> Entry:
    """The entry for a date that has no run; the last one of its schedule stands for all others."""
    due, series = planned
    series.listed += 1
    if series.listed <= PLANNED_MAX:
        return msgspec.structs.replace(series.entry, due=due)
    more = 1 + sum(1 for _ in series)
    is_cut = series.taken >= DATES_MAX
    return msgspec.structs.replace(series.entry, due=due, more=more, more_is_least=is_cut)


def as_line(entry: Entry, timezone: str | None) -> str:
    """An entry for people; `timezone`: the zone to show it in, None: the machine's."""
    due = entry.due.astimezone(None if timezone is None else zones.zone(timezone))
    state = entry.state
    if entry.overdue_s >= 1:
        state += f", overdue by {timedelta(seconds=int(entry.overdue_s))}"
    parts = [
        f"{due:%a %Y-%m-%d %H:%M:%S %Z}",
        state,
        _joined(entry.flow, entry.deployment),
        _joined(entry.work_pool, entry.work_queue),
    ]
    if entry.more:
        least = "at least " if entry.more_is_least else ""
        parts.append(f"{entry.schedule}, and from then on {least}{entry.more} more")
    else:
        parts += [entry.run_name or entry.schedule or "", entry.run_id or ""]
    return "  ".join(part for part in parts if part)


def as_json(entry: Entry) -> str:
    """An entry as one line of JSON."""
    return msgspec.json.encode(entry).decode()


def _joined(*names: str | None) -> str:
    return "/".join(name for name in names if name)


def _key(run: Answer) -> _Key:
    """The schedule that has made a run, and the date it has made it for."""
    creator = run["created_by"] or {}
    expected = run["expected_start_time"] or run["next_scheduled_start_time"]
    return (str(creator.get("id")), datetime.fromisoformat(expected))


def _iso(moment: datetime) -> str:
    return moment.isoformat()
