"""Deployments through the API: statuses, bodies, searches and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.actors.ingress.api.deployment_runs import RUNS_IN_JOB, RUNS_MAX
from lictor.actors.journal import Journal

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_deployment_is_made_found_changed_and_deleted(api: Any) -> None:
    flow_id = await api.flow()
    body = {"flow_id": flow_id, "name": "dep", "tags": ["a"]}
    status, made = await api("POST", "/deployments/", body)
    assert status == 201
    assert (await api("POST", "/deployments/", body))[0] == 200
    status, found = await api("GET", "/deployments/name/flow/dep")
    assert (status, found["id"]) == (200, made["id"])
    path = f"/deployments/{made['id']}"
    assert await api("PATCH", path, {"description": "d"}) == (204, None)
    assert (await api("GET", path))[1]["description"] == "d"
    assert await api("POST", f"{path}/pause_deployment") == (200, None)
    assert (await api("GET", path))[1]["paused"] is True
    assert await api("POST", f"{path}/resume_deployment") == (200, None)
    assert await api("DELETE", path) == (204, None)
    assert (await api("GET", path))[0] == 404
    assert (await api("DELETE", path))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/pause_deployment", None),
        ("POST", "/resume_deployment", None),
        ("POST", "/create_flow_run", {}),
        ("POST", "/create_flow_run/bulk", []),
        ("GET", "/schedules", None),
        ("POST", "/schedules", []),
        ("PATCH", f"/schedules/{NOBODY}", {}),
        ("DELETE", f"/schedules/{NOBODY}", None),
        ("GET", "/work_queue_check", None),
    ],
)
async def test_what_is_asked_of_no_deployment_is_not_found(
    api: Any, method: str, path: str, body: Any
) -> None:
    assert (await api(method, f"/deployments/{NOBODY}{path}", body))[0] == 404


async def test_a_wrong_body_is_answered_with_the_place_of_each_mistake(api: Any) -> None:
    flow_id = await api.flow()
    wrong: list[tuple[dict[str, Any], list[Any]]] = [
        ({"name": "a/b"}, ["body", "name"]),
        ({"work_queue_name": "a/b"}, ["body", "work_queue_name"]),
        ({"concurrency_limit": 0}, ["body", "concurrency_limit"]),
        ({"concurrency_limit": 1, "global_concurrency_limit_id": NOBODY}, ["body"]),
        ({"schedules": [{"active": True}]}, ["body", "schedules", 0, "schedule"]),
        ({"manifest_path": "x"}, ["body", "manifest_path"]),
    ]
    for body, place in wrong:
        status, answer = await api(
            "POST", "/deployments/", {"flow_id": flow_id, "name": "d", **body}
        )
        assert status == 422
        assert [each["loc"] for each in answer["exception_detail"]] == [place]
    old = {"flow_id": flow_id, "name": "d", "worker_pool_name": "x", "work_pool_queue_name": "y"}
    assert (await api("POST", "/deployments/", old))[0] == 201


async def test_parameters_that_do_not_fit_are_refused_beside_the_body_that_held_them(
    api: Any,
) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    body: dict[str, Any] = {"name": "d", "parameters": {"x": "no"}}
    body |= {"parameter_openapi_schema": schema, "enforce_parameter_schema": True}
    status, answer = await api("POST", "/deployments/", {"flow_id": await api.flow(), **body})
    [fault] = answer["exception_detail"]
    assert (status, fault["loc"], fault["ctx"]) == (422, ["body"], {"error": {}})
    assert fault["input"] == answer["request_body"]
    assert {key: fault["input"][key] for key in body} == body


async def test_an_interval_may_be_a_number_of_seconds(api: Any) -> None:
    id_ = await api.deployment(await api.flow())
    body = [{"schedule": {"interval": 90.5, "anchor_date": "2030-01-01T00:00:00Z"}}]
    status, made = await api("POST", f"/deployments/{id_}/schedules", body)
    assert (status, made[0]["schedule"]["interval"]) == (201, 90.5)
    schedule = f"/deployments/{id_}/schedules/{made[0]['id']}"
    assert (await api("PATCH", schedule, {"active": False}))[0] == 204
    assert (await api("GET", f"/deployments/{id_}/schedules"))[1][0]["active"] is False
    assert (await api("DELETE", schedule))[0] == 204


async def test_searches_find_deployments_by_what_they_and_their_flows_are(api: Any) -> None:
    etl, ml = await api.flow("etl"), await api.flow("ml")
    await api.deployment(etl, "b", tags=["x"])
    await api.deployment(etl, "a", paused=True, schedules=[{"schedule": {"cron": "@daily"}}])
    await api.deployment(ml, "c", concurrency_limit=2)

    async def names(body: dict[str, Any]) -> list[str]:
        status, found = await api("POST", "/deployments/filter", body)
        assert status == 200
        return [each["name"] for each in found]

    assert await names({}) == ["a", "b", "c"]
    assert await names({"sort": "NAME_DESC", "limit": 2}) == ["c", "b"]
    assert await names({"flows": {"name": {"any_": ["etl"]}}}) == ["a", "b"]
    assert await names({"deployments": {"tags": {"any_": ["x"]}}}) == ["b"]
    assert await names({"deployments": {"paused": {"eq_": True}}}) == ["a"]
    by_either = {"deployments": {"flow_or_deployment_name": {"like_": "m"}}}
    assert await names(by_either) == ["c"]
    assert await names({"flow_runs": {}}) == []
    _, page = await api("POST", "/deployments/paginate", {"limit": 2, "page": 2})
    assert (page["count"], page["pages"], [each["name"] for each in page["results"]]) == (
        3, 2, ["c"],
    )  # fmt: skip
    assert page["results"][0]["global_concurrency_limit"]["limit"] == 2
    assert await api("POST", "/deployments/count", {}) == (200, 3)
    counts = await api("POST", "/ui/flows/count-deployments", {"flow_ids": [etl, ml, NOBODY]})
    assert counts == (200, {etl: 2, ml: 1, NOBODY: 0})


async def test_bulk_deletion_takes_what_matches(api: Any) -> None:
    flow_id = await api.flow()
    one, other = await api.deployment(flow_id, "one"), await api.deployment(flow_id, "other")
    body = {"deployments": {"id": {"any_": [one]}}}
    assert await api("POST", "/deployments/bulk_delete", body) == (200, {"deleted": [one]})
    assert (await api("GET", f"/deployments/{other}"))[0] == 200
    assert (await api("POST", "/deployments/bulk_delete", {"limit": 51}))[0] == 422


async def test_one_run_that_cannot_be_made_does_not_stop_the_others(api: Any) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    id_ = await api.deployment(await api.flow(), parameter_openapi_schema=schema)
    path = f"/deployments/{id_}/create_flow_run"
    asked = [{"idempotency_key": "k"}, {"parameters": {"n": "x"}}, {"idempotency_key": "k"}]
    status, answer = await api("POST", f"{path}/bulk", asked)
    assert status == 200
    first, second, third = answer["results"]
    assert [each["status"] for each in (first, second, third)] == ["CREATED", "FAILED", "CREATED"]
    assert first["flow_run_id"] == third["flow_run_id"]
    assert (second["flow_run_id"], "n" in second["error"]) == (None, True)
    assert (await api("POST", f"{path}/bulk", [{}] * 101))[0] == 400
    assert (await api("POST", path, {"idempotency_key": "k"}))[0] == 200
    assert (await api("POST", path, {}))[0] == 201


async def test_runs_made_in_bulk_share_a_few_jobs_and_answer_in_order(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[object] = []
    write = Journal.write

    async def counted(journal: Journal, job: Any) -> Any:
        jobs.append(job)
        return await write(journal, job)

    id_ = await api.deployment(await api.flow())
    monkeypatch.setattr(Journal, "write", counted)
    asked = [{"name": f"run-{number}"} for number in range(RUNS_MAX)]
    status, answer = await api("POST", f"/deployments/{id_}/create_flow_run/bulk", asked)
    assert status == 200
    assert len(jobs) == RUNS_MAX / RUNS_IN_JOB
    made = {each["flow_run_id"] for each in answer["results"]}
    assert len(made) == RUNS_MAX
    _, first = await api("GET", f"/flow_runs/{answer['results'][0]['flow_run_id']}")
    _, last = await api("GET", f"/flow_runs/{answer['results'][-1]['flow_run_id']}")
    assert (first["name"], last["name"]) == ("run-0", f"run-{RUNS_MAX - 1}")


async def test_runs_asked_for_after_their_deployment_is_gone_have_failed(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await api.deployment(await api.flow())
    write = Journal.write

    async def deleting(journal: Journal, job: Any) -> Any:
        answer = await write(journal, job)
        await write(journal, lambda tx: tx.run("DELETE FROM deployment WHERE id = ?", (id_,)))
        return answer

    monkeypatch.setattr(Journal, "write", deleting)
    asked: list[dict[str, Any]] = [{}] * (RUNS_IN_JOB + 2)
    status, answer = await api("POST", f"/deployments/{id_}/create_flow_run/bulk", asked)
    assert status == 200
    told = [(each["status"], each["error"]) for each in answer["results"]]
    assert told == [("CREATED", None)] * RUNS_IN_JOB + [("FAILED", "Deployment not found")] * 2


async def test_an_automation_that_makes_things_says_its_id_rightly_and_its_name(api: Any) -> None:
    flow_id = await api.flow()
    id_ = await api.deployment(flow_id)
    run, wrong = f"/deployments/{id_}/create_flow_run", [(b"prefect-automation-id", b"x")]
    for path, body in (("/deployments/", {"flow_id": flow_id, "name": "d"}), (run, {})):
        status, answer = await api("POST", path, body, headers=wrong)
        assert status == 422
        assert answer["exception_detail"][0]["loc"] == ["header", "prefect-automation-id"]
    for name, shown in ((b"bmFtZQ==", "name"), (b"", None), (b"!!", None), (b"w", None)):
        headers = [
            (b"prefect-automation-id", NOBODY.encode()),
            (b"prefect-automation-name", name),
        ]
        creator = (await api("POST", run, {}, headers=headers))[1]["created_by"]
        assert creator == (shown and {"id": NOBODY, "type": "AUTOMATION", "display_value": shown})
