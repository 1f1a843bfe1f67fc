"""`POST /deployments/{id}/schedule`: runs on demand, in bounds, in small jobs."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.actors.ingress.api.deployment_schedules import RUNS_IN_JOB
from lictor.actors.journal import Journal
from lictor.actors.readers import Readers
from lictor.schema.rules.schedules.dates import DATES_MAX

DAILY = {"schedule": {"cron": "0 0 * * *"}}
EACH_SECOND = {"schedule": {"interval": 1, "anchor_date": "2030-01-01T00:00:00Z"}}
HUGE = {
    "start_time": "2030-01-01T00:00:00Z", "end_time": "2040-01-01T00:00:00Z",
    "min_runs": 10**6, "max_runs": 10**6,
}  # fmt: skip


async def due(api: Any, id_: str) -> list[str]:
    found: list[str] = []
    while True:
        body = {
            "deployments": {"id": {"any_": [id_]}}, "offset": len(found),
            "sort": "EXPECTED_START_TIME_ASC",
        }  # fmt: skip
        _, page = await api("POST", "/flow_runs/filter", body)
        found += [each["next_scheduled_start_time"] for each in page]
        if not page:
            return found


async def test_runs_are_made_between_two_moments_past_ones_and_paused_deployments_as_well(
    api: Any,
) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[DAILY], paused=True)
    path = f"/deployments/{id_}/schedule"
    body = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-03T12:00:00Z"}
    for _ in range(2):
        assert await api("POST", path, body) == (200, None)
        assert await due(api, id_) == [f"2020-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3)]


async def test_inactive_schedules_make_nothing(api: Any) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[{**DAILY, "active": False}])
    assert (await api("POST", f"/deployments/{id_}/schedule"))[0] == 200
    assert await due(api, id_) == []


@pytest.mark.parametrize(
    "least",
    [
        {"max_runs": 0},
        {"max_runs": -1},
        {"min_runs": 0, "min_time": 0},
        {"min_runs": -5, "min_time": -1e300},
    ],
)
async def test_the_least_that_is_made_is_one_run(api: Any, least: dict[str, Any]) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[DAILY], paused=True)
    body = {"start_time": "2020-01-01T00:00:00Z", **least}
    assert await api("POST", f"/deployments/{id_}/schedule", body) == (200, None)
    assert await due(api, id_) == ["2020-01-01T00:00:00.000000Z"]


async def test_the_last_dates_of_the_calendar_can_be_asked_for(api: Any) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[DAILY], paused=True)
    body = {"start_time": "9999-12-30T00:00:00Z", "end_time": "9999-12-31T00:00:00Z"}
    assert await api("POST", f"/deployments/{id_}/schedule", body) == (200, None)
    assert len(await due(api, id_)) == 2


async def test_huge_bounds_are_cut_and_computed_off_the_writer_in_small_jobs(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Any] = []
    threads: list[Any] = []
    write, read_on_thread = Journal.write, Readers.read_on_thread

    async def counted(journal: Journal, job: Any) -> Any:
        jobs.append(job)
        return await write(journal, job)

    async def noted(readers: Readers, query: Any) -> Any:
        threads.append(query)
        return await read_on_thread(readers, query)

    id_ = await api.deployment(await api.flow(), schedules=[EACH_SECOND])
    monkeypatch.setattr(Journal, "write", counted)
    monkeypatch.setattr(Readers, "read_on_thread", noted)
    assert await api("POST", f"/deployments/{id_}/schedule", HUGE) == (200, None)
    assert len(threads) == 1
    sizes = [len(job.keywords["wanted"].dates) for job in jobs]
    assert sum(sizes) == DATES_MAX
    assert max(sizes) <= RUNS_IN_JOB
    monkeypatch.undo()
    assert len(await due(api, id_)) == DATES_MAX


async def test_a_schedule_that_is_changed_meanwhile_is_computed_again(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[DAILY])
    _, (schedule,) = await api("GET", f"/deployments/{id_}/schedules")
    read_on_thread = Readers.read_on_thread
    hours = iter(("1", "2"))

    async def overtaken(readers: Readers, query: Any) -> Any:
        wanted = await read_on_thread(readers, query)
        if hour := next(hours, None):
            body = {"schedule": {"cron": f"0 {hour} * * *"}}
            await api("PATCH", f"/deployments/{id_}/schedules/{schedule['id']}", body)
        return wanted

    monkeypatch.setattr(Readers, "read_on_thread", overtaken)
    body = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-01T12:00:00Z"}
    assert await api("POST", f"/deployments/{id_}/schedule", body) == (200, None)
    assert await due(api, id_) == ["2020-01-01T02:00:00.000000Z"]


@pytest.mark.parametrize("body", [{"min_time": "x"}, {"start_time": 1, "max_runs": "many"}])
async def test_bounds_of_another_type_are_refused(api: Any, body: dict[str, Any]) -> None:
    id_ = await api.deployment(await api.flow(), schedules=[DAILY])
    assert (await api("POST", f"/deployments/{id_}/schedule", body))[0] == 422
