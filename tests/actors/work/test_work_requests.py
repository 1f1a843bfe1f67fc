"""Work pools, queues and workers through the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
}
NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_pool_is_made_read_changed_and_deleted_by_its_name(api: Any) -> None:
    body = {"name": "p", "type": "process", "base_job_template": TEMPLATE}
    status, made = await api("POST", "/work_pools/", body)
    assert (status, made["base_job_template"]) == (201, TEMPLATE)
    assert await api("GET", "/work_pools/p") == (200, made)
    assert await api("PATCH", "/work_pools/p", {"concurrency_limit": 2}) == (204, None)
    assert (await api("POST", "/work_pools/filter"))[1][0]["active_slots"] == 0
    assert await api("POST", "/work_pools/count", {}) == (200, 1)
    assert await api("DELETE", "/work_pools/p") == (204, None)
    assert (await api("GET", "/work_pools/p"))[0] == 404


async def test_a_template_is_refused_by_its_place_or_by_its_defaults(api: Any) -> None:
    shapeless = {"name": "p", "base_job_template": {"job_configuration": {"a": "b"}}}
    status, answer = await api("POST", "/work_pools/", shapeless)
    assert status == 422
    assert [fault["loc"] for fault in answer["exception_detail"]] == [["body", "base_job_template"]]
    properties = {"command": {"type": "integer", "default": "text"}}
    unfit = {**TEMPLATE, "variables": {"type": "object", "properties": properties}}
    status, answer = await api("POST", "/work_pools/", {"name": "p", "base_job_template": unfit})
    assert status == 422
    assert "job variable defaults" in answer["detail"]
    status, answer = await api("POST", "/work_pools/", {"name": " "})
    assert [fault["loc"] for fault in answer["exception_detail"]] == [["body", "name"]]
    assert answer["exception_detail"][0]["input"] == " "


async def test_every_field_of_a_pool_that_is_wrong_is_named(api: Any) -> None:
    body = {"name": "'", "type": 5, "base_job_template": {"variables": {}}}
    for wrong, places in ((body, {"name", "type", "base_job_template"}), ({"name": "/"}, {"name"})):
        status, answer = await api("POST", "/work_pools/", wrong)
        assert status == 422
        assert {fault["loc"][-1] for fault in answer["exception_detail"]} == places
    del body["name"], body["type"]
    status, answer = await api("PATCH", "/work_pools/p", body)
    (fault,) = answer["exception_detail"]
    assert (status, fault["input"]) == (422, {"variables": {}})


async def test_an_old_client_is_not_told_of_result_storage(api: Any) -> None:
    await api("POST", "/work_pools/", {"name": "p"})
    for version, is_told in (
        (b"3.3.7", False), (b"3.3.7rc1", False), (b"3.3.7.dev2+1.a", False), (b"2.20.1", False),
        (b"3.3.7+1.a", True), (b"3.3.7.post1", True), (b"3.3.8rc1", True), (b"3.10.0", True),
    ):  # fmt: skip
        agent = b"prefect/" + version + b" (API 0.8.4)"
        _, pool = await api("GET", "/work_pools/p", agent=agent)
        assert ("default_result_storage_block_id" in pool["storage_configuration"]) is is_told


async def test_a_queue_is_found_in_its_pool_and_by_its_id(api: Any) -> None:
    await api("POST", "/work_pools/", {"name": "p"})
    status, made = await api("POST", "/work_pools/p/queues", {"name": "q"})
    assert (status, made["priority"]) == (201, 2)
    assert await api("GET", "/work_pools/p/queues/q") == (200, made)
    assert await api("GET", f"/work_queues/{made['id']}") == (200, made)
    assert (await api("PATCH", f"/work_queues/{made['id']}", {"priority": 1}))[0] == 204
    _, page = await api("POST", "/work_pools/p/queues/filter", {})
    assert [(queue["name"], queue["priority"]) for queue in page] == [("q", 1), ("default", 2)]
    assert (await api("DELETE", "/work_pools/p/queues/default"))[0] == 409
    assert (await api("DELETE", f"/work_queues/{made['id']}"))[0] == 204
    assert (await api("DELETE", f"/work_queues/{made['id']}"))[0] == 404


async def test_a_queue_that_nobody_polls_is_not_healthy(api: Any) -> None:
    _, made = await api("POST", "/work_queues/", {"name": "q"})
    status, health = await api("GET", f"/work_queues/{made['id']}/status")
    assert (status, health["healthy"], health["late_runs_count"]) == (200, False, 0)
    status, answer = await api("GET", f"/work_queues/{NOBODY}/status")
    assert status == 404
    assert "exception_message" in answer


async def test_slots_are_told_by_pages(api: Any) -> None:
    _, pool = await api("POST", "/work_pools/", {"name": "p"})
    await api("POST", "/work_pools/p/queues", {"name": "q"})
    _, slots = await api("POST", "/work_pools/p/concurrency_status", {"limit": 1, "page": 2})
    assert [queue["queue_name"] for queue in slots["queues"]] == ["q"]
    assert (slots["count"], slots["pages"], slots["active_slots"]) == (2, 2, 0)
    path = f"/work_queues/{pool['default_queue_id']}/concurrency_status"
    _, slots = await api("POST", path, {})
    assert (slots["count"], slots["pages"], slots["flow_runs"]) == (0, 0, [])


async def test_a_worker_beats_is_listed_and_forgotten(api: Any) -> None:
    await api("POST", "/work_pools/", {"name": "p", "type": "process"})
    assert (await api("POST", "/work_pools/p/workers/heartbeat", {"name": "w"}))[0] == 204
    assert (await api("GET", "/work_pools/p"))[1]["status"] == "READY"
    _, (worker,) = await api("POST", "/work_pools/p/workers/filter", {})
    assert (worker["name"], worker["status"]) == ("w", "ONLINE")
    offline = {"workers": {"status": {"any_": ["OFFLINE"]}}}
    assert await api("POST", "/work_pools/p/workers/filter", offline) == (200, [])
    assert (await api("DELETE", "/work_pools/p/workers/w"))[0] == 204
    assert (await api("GET", "/work_pools/p"))[1]["status"] == "NOT_READY"
    assert (await api("POST", "/work_pools/none/workers/filter", {}))[0] == 404


async def test_the_process_type_is_offered_with_a_template_that_makes_a_pool(api: Any) -> None:
    _, packages = await api("GET", "/collections/views/aggregate-worker-metadata")
    template = packages["prefect"]["process"]["default_base_job_configuration"]
    body = {"name": "p", "type": "process", "base_job_template": template}
    assert (await api("POST", "/work_pools/", body))[0] == 201
    assert await api("GET", "/collections/views/demo-flows") == (200, {})
    assert (await api("GET", "/collections/views/none"))[0] == 404


async def test_worker_types_are_those_of_the_operators_file(api: Any, described: Path) -> None:
    view = "/collections/views/aggregate-worker-metadata"
    assert (await api("GET", view))[0] == 503
    await trio.Path(described).write_text("[]")
    assert (await api("GET", view))[0] == 503
    own = '{"prefect": {"prefect-agent": {}, "process": {}}, "own": {"x": {}}}'
    await trio.Path(described).write_text(own)
    assert await api("GET", view) == (200, {"prefect": {"process": {}}, "own": {"x": {}}})


async def test_deploying_finds_no_automations_to_replace(api: Any) -> None:
    owner = f"prefect.deployment.{NOBODY}"
    assert await api("DELETE", f"/automations/owned-by/{owner}") == (202, None)
    assert await api("GET", f"/automations/related-to/{owner}") == (200, [])


async def test_a_filter_that_no_poll_could_apply_is_refused(api: Any) -> None:
    for number, status in ((1000, 201), (1001, 422)):
        body = {"name": f"q{number}", "filter": {"tags": [f"t{n}" for n in range(number)]}}
        made = await api("POST", "/work_queues/", {**body, "concurrency_limit": 1})
        assert made[0] == status
    _, (queue, *_rest) = await api("POST", "/work_queues/filter", {"offset": 1})
    assert queue["active_slots"] == 0
    assert await api("POST", f"/work_queues/{queue['id']}/get_runs", {}) == (200, [])
