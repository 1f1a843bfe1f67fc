"""The searching operations, through dispatch: bodies, limits, pages and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lictor.actors.executor import InlineExecutor
from lictor.actors.ingress.api import flow_run_search, flow_search, graph, task_run_search, ui
from lictor.actors.ingress.dispatch import Dispatcher
from lictor.actors.ingress.http import Request
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint

FLOW = "00000001-0000-7000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-000000000000"
CREATED = "2030-01-01T00:00:00.000000Z"
TASK = "00000003-0000-7000-8000-000000000001"
OPERATIONS = (
    *flow_search.OPERATIONS,
    *flow_run_search.OPERATIONS,
    *task_run_search.OPERATIONS,
    *graph.OPERATIONS,
    *ui.OPERATIONS,
)


def run_id(n: int) -> str:
    return f"00000002-0000-7000-8000-{n:012d}"


def fill(connection: Any) -> None:
    connection.execute(
        "INSERT INTO flow (id, created, updated, name, tags, labels)"
        " VALUES (?, ?, ?, 'flow', '[]', '{}')",
        (FLOW, CREATED, CREATED),
    )
    for n in range(5):
        connection.execute(
            "INSERT INTO flow_run (id, created, updated, name, flow_id, parameters, context,"
            " empirical_policy, tags, labels, state_type, state_name, expected_start_time)"
            " VALUES (?, ?, ?, ?, ?, '{\"big\":12345678901234567890}', '{}', '{}', '[]', '{}',"
            " 'COMPLETED', 'Completed', ?)",
            (run_id(n), CREATED, CREATED, f"run-{n}", FLOW, f"2030-01-01T0{n}:00:00.000000Z"),
        )
    connection.execute(
        "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key,"
        " empirical_policy, tags, labels, task_inputs) VALUES"
        " (?, ?, ?, 'task', ?, 'k', '0', '{}', '[]', '{}', '{}')",
        (TASK, CREATED, CREATED, run_id(0)),
    )


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Any]:
    writer = sqlite.open_writer(tmp_path / "lictor.db", synchronous="OFF")
    fill(writer)
    reader = sqlite.open_reader(tmp_path / "lictor.db")
    settings = Settings(home=tmp_path)
    services = SimpleNamespace(
        settings=settings, mint=Mint(), readers=Readers(reader, [(reader, InlineExecutor())])
    )
    dispatch = Dispatcher(services, OPERATIONS, settings)  # type: ignore[arg-type]

    async def call(path: str, body: Any = None, *, method: str = "POST", query: str = "") -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        answer = await dispatch(Request(method, f"/api{path}", query.encode(), [], raw))
        return answer.status, json.loads(answer.body)

    yield call
    reader.close()
    writer.close()


SEARCHES = ("/flows/filter", "/flow_runs/filter", "/task_runs/filter")


@pytest.mark.parametrize("path", SEARCHES)
async def test_a_body_may_be_absent_empty_or_full_of_nulls(post: Any, path: str) -> None:
    answers = [
        await post(path, body)
        for body in (None, {}, {"sort": None, "limit": None, "flows": None, "unknown": 1})
    ]
    assert all(status == 200 and len(found) >= 1 for status, found in answers)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("path", SEARCHES)
async def test_a_limit_out_of_bounds_is_refused_with_its_reason(post: Any, path: str) -> None:
    assert await post(path, {"limit": 201}) == (
        422,
        {"detail": "Invalid limit: must be less than or equal to 200."},
    )
    assert await post(path, {"limit": -1}) == (
        422,
        {"detail": "Invalid limit: must be greater than or equal to 0."},
    )
    assert await post(path, {"limit": 0}) == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/flow_runs/filter", {"offset": -1}, ["body", "offset"]),
        ("/flow_runs/filter", {"sort": "x"}, ["body", "sort"]),
        ("/task_runs/filter", {"sort": "START_TIME_DESC"}, ["body", "sort"]),
        ("/flows/paginate", {"page": 0}, ["body", "page"]),
        ("/flow_runs/count", {"flow_runs": {"nope": 1}}, ["body", "flow_runs", "nope"]),
        ("/flows/filter", {"flows": {"id": {"any_": ["x"]}}}, ["body", "flows", "id", "any_", 0]),
        ("/ui/flow_runs/history", {"limit": 1001}, ["body", "limit"]),
        ("/ui/flows/next-runs", {}, ["body", "flow_ids"]),
        ("/ui/flows/next-runs", {"flow_ids": [NOBODY] * 201}, ["body", "flow_ids"]),
        ("/ui/task_runs/dashboard/counts", {}, ["body", "task_runs"]),
        ("/flow_runs/history", {"history_start": CREATED, "history_end": CREATED},
         ["body", "history_interval_seconds"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_by_its_place(
    post: Any, path: str, body: Any, place: list[Any]
) -> None:
    status, answer = await post(path, body)
    assert status == 422
    assert [error["loc"] for error in answer["exception_detail"]] == [place]


async def test_pages_follow_each_other_and_say_how_many_there_are(post: Any) -> None:
    names = []
    for page in (1, 2, 3, 4):
        status, answer = await post(
            "/flow_runs/paginate", {"limit": 2, "page": page, "sort": "NAME_ASC"}
        )
        assert status == 200
        assert {key: answer[key] for key in ("count", "limit", "pages", "page")} == {
            "count": 5, "limit": 2, "pages": 3, "page": page
        }  # fmt: skip
        names += [run["name"] for run in answer["results"]]
    assert names == [f"run-{n}" for n in range(5)]
    assert (await post("/flow_runs/paginate", {"limit": 0}))[1]["pages"] == 0
    assert (await post("/flow_runs/paginate", {"page": 10**30}))[1]["results"] == []
    assert (await post("/flow_runs/filter", {"offset": 10**30}))[1] == []


async def test_a_run_is_sent_as_it_is_stored(post: Any) -> None:
    status, (run,) = await post("/flow_runs/filter", {"limit": 1, "sort": "NAME_DESC"})
    assert status == 200
    assert run["id"] == run_id(4)
    assert run["parameters"] == {"big": 12345678901234567890}
    assert run["estimated_start_time_delta"] == 0.0


async def test_counts_and_lateness_are_bare_numbers(post: Any) -> None:
    assert await post("/flow_runs/count") == (200, 5)
    assert await post("/flows/count", {"deployments": {}}) == (200, 0)
    assert await post("/task_runs/count") == (200, 1)
    assert await post("/flow_runs/lateness", {"flow_runs": {"id": {"any_": []}}}) == (200, None)


async def test_a_history_of_no_time_is_empty_and_of_short_intervals_refused(post: Any) -> None:
    body = {"history_start": CREATED, "history_end": CREATED, "history_interval_seconds": 60}
    assert await post("/flow_runs/history", body) == (200, [])
    status, answer = await post("/task_runs/history", {**body, "history_interval_seconds": 0})
    assert (status, list(answer)) == (422, ["detail"])


async def test_task_runs_of_pages_are_short_and_elsewhere_complete(post: Any) -> None:
    _, page = await post("/task_runs/paginate", {})
    (listed,) = page["results"]
    _, (full,) = await post("/task_runs/filter", {})
    assert listed.items() <= full.items()
    assert "dynamic_key" not in listed
    status, named = await post(f"/ui/task_runs/{TASK}", method="GET")
    assert (status, named) == (200, {**full, "flow_run_name": "run-0"})


async def test_what_is_not_there_is_not_found(post: Any) -> None:
    assert await post(f"/ui/task_runs/{NOBODY}", method="GET") == (
        404,
        {"detail": "Task not found"},
    )
    for path in ("graph", "graph-v2"):
        status, answer = await post(f"/flow_runs/{NOBODY}/{path}", method="GET")
        assert (status, list(answer)) == (404, ["exception_message"])


async def test_since_must_be_a_moment(post: Any) -> None:
    path = f"/flow_runs/{run_id(0)}/graph-v2"
    assert (await post(path, method="GET"))[0] == 200
    assert (await post(path, method="GET", query="since=2030-01-01T00:00:00Z"))[0] == 200
    status, answer = await post(path, method="GET", query="since=then")
    assert status == 422
    assert answer["exception_detail"][0]["loc"] == ["query", "since"]
