"""Flows through the API."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lictor.schema.commands import flows as commands
from lictor.schema.events.event import StoredEvent

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def events(api: Any) -> list[StoredEvent]:
    """What the journal has published of events."""
    seen: list[StoredEvent] = []
    api.services.journal.subscribe(
        lambda published: seen.extend(item for item in published if isinstance(item, StoredEvent))
    )
    return seen


def tags_of(api: Any, flow_id: str) -> list[str]:
    rows = api.services.readers.inline(
        lambda tx: tx.all(
            "SELECT t.tag FROM flow_tag t JOIN flow f ON f.seq = t.seq WHERE f.id = ? ORDER BY 1",
            (flow_id,),
        )
    )
    return [tag for (tag,) in rows]


async def test_a_new_name_makes_a_flow_and_a_known_one_finds_it_unchanged(
    api: Any, events: list[StoredEvent]
) -> None:
    body = {"name": "etl", "tags": ["b", "a", "b"], "labels": {"n": 3, "f": 1.5, "ok": True}}
    status, flow = await api("POST", "/flows/", body)
    assert status == 201
    assert {key: flow[key] for key in body} == body
    again = await api("POST", "/flows/", {"name": "etl", "tags": ["other"]})
    assert again == (200, flow)
    assert await api("GET", f"/flows/{flow['id']}") == (200, flow)
    assert await api("GET", "/flows/name/etl") == (200, flow)
    assert tags_of(api, flow["id"]) == ["a", "b"]
    (event,) = [item.event for item in events]
    assert event.event == "prefect.flow.created"
    assert event.resource == {
        "prefect.resource.id": f"prefect.flow.{flow['id']}",
        "prefect.resource.name": "etl",
    }
    assert event.payload == body


async def test_two_requests_at_once_make_one_flow(api: Any) -> None:
    answers: list[Any] = []

    async def create() -> None:
        answers.append(await api("POST", "/flows/", {"name": "etl"}))

    async with trio.open_nursery() as both:
        both.start_soon(create)
        both.start_soon(create)
    assert sorted(status for status, _ in answers) == [200, 201]
    assert answers[0][1] == answers[1][1]


@pytest.mark.parametrize("name", ["a/b", "a%b", "a&b", "a>b", "a<b", "", None, 5])
async def test_names_are_checked(api: Any, name: object) -> None:
    status, answer = await api("POST", "/flows/", {"name": name})
    assert status == 422
    assert [error["loc"] for error in answer["exception_detail"]] == [["body", "name"]]


@pytest.mark.parametrize("name", ["ünïcode → ok", "tab\tnewline\n", "'; DROP TABLE flow; --"])
async def test_odd_names_are_names(api: Any, name: str) -> None:
    status, flow = await api("POST", "/flows/", {"name": name})
    assert (status, flow["name"]) == (201, name)


async def test_tags_are_replaced_and_indexed(api: Any, events: list[StoredEvent]) -> None:
    _, flow = await api("POST", "/flows/", {"name": "etl", "tags": ["one"]})
    path = f"/flows/{flow['id']}"
    assert (await api("PATCH", path, {"tags": ["two", "three"]}))[0] == 204
    assert (await api("PATCH", path, {}))[0] == 204
    assert (await api("PATCH", path, {"tags": ["two", "three"]}))[0] == 204
    _, changed = await api("GET", path)
    assert changed["tags"] == ["two", "three"]
    assert changed["updated"] > flow["updated"]
    assert tags_of(api, flow["id"]) == ["three", "two"]
    assert (await api("PATCH", path, {"name": "x"}))[0] == 422
    assert (await api("PATCH", f"/flows/{NOBODY}", {"tags": []}))[0] == 404


async def test_every_patch_of_a_flow_is_an_update_of_it(
    api: Any, events: list[StoredEvent]
) -> None:
    _, flow = await api("POST", "/flows/", {"name": "etl", "tags": ["one"]})
    path, moments = f"/flows/{flow['id']}", [flow["updated"]]
    for body in ({}, {"tags": ["one"]}, {"tags": ["two"]}):
        assert (await api("PATCH", path, body))[0] == 204
        moments.append((await api("GET", path))[1]["updated"])
    assert moments == sorted(set(moments))
    names = [item.event.event for item in events]
    assert names == ["prefect.flow.created", *["prefect.flow.updated"] * 3]
    assert [item.event.payload["tags"] for item in events] == [["one"], ["one"], ["one"], ["two"]]


async def test_a_flow_goes_with_its_runs_their_logs_and_its_tags(
    api: Any, events: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "RUNS_PER_DELETE", 2)
    _, flow = await api("POST", "/flows/", {"name": "etl", "tags": ["t"]})
    _, other = await api("POST", "/flows/", {"name": "other", "tags": ["t"]})
    runs = [await api.run("etl") for _ in range(5)]
    kept = await api.run("other")
    batch = [
        {"name": "n", "level": 20, "message": "m", "timestamp": "2026-01-01T00:00:00Z"}
        | {"flow_run_id": run}
        for run in [*runs, kept]
    ]
    await api("POST", "/logs/", batch)
    assert (await api("DELETE", f"/flows/{flow['id']}"))[0] == 204
    assert (await api("GET", f"/flows/{flow['id']}"))[0] == 404
    assert (await api("DELETE", f"/flows/{flow['id']}"))[0] == 404
    assert api.one("SELECT count(*), min(id) FROM flow_run") == (1, kept)
    _, logs = await api("POST", "/logs/filter", {})
    assert [log["flow_run_id"] for log in logs] == [kept]
    assert api.one("SELECT count(*) FROM flow_tag") == (1,)
    assert tags_of(api, other["id"]) == ["t"]
    assert events[-1].event.event == "prefect.flow.deleted"


async def test_flows_are_deleted_by_filter(api: Any) -> None:
    ids = [(await api("POST", "/flows/", {"name": f"f{n}"}))[1]["id"] for n in range(3)]
    chosen = {"flows": {"id": {"any_": ids[:2]}}}
    status, answer = await api("POST", "/flows/bulk_delete", chosen)
    assert status == 200
    assert sorted(answer["deleted"]) == sorted(ids[:2])
    assert await api("POST", "/flows/bulk_delete", chosen) == (200, {"deleted": []})
    assert (await api("GET", f"/flows/{ids[2]}"))[0] == 200
    for limit in (0, 51):
        assert (await api("POST", "/flows/bulk_delete", {"limit": limit}))[0] == 422
    assert await api("POST", "/flows/bulk_delete", {"limit": 1}) == (200, {"deleted": [ids[2]]})


async def test_unknown_flows_are_not_found(api: Any) -> None:
    assert (await api("GET", f"/flows/{NOBODY}"))[0] == 404
    assert (await api("GET", "/flows/name/missing"))[0] == 404
    assert (await api("GET", "/flows/not-a-uuid"))[0] == 404
    assert (await api("DELETE", f"/flows/{NOBODY}"))[0] == 404
