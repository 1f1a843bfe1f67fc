"""The HTTP operations of events, through the dispatcher."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from event_world import NOW, World, event

from lictor.actors.ingress.api import events as operations
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.http import Request
from lictor.schema import times


class Api:
    """`await api(method, path, body)` is a request; status and decoded body of the answer."""

    def __init__(self, world: World) -> None:
        self._handle = build_handle(world.services, operations.OPERATIONS, world.settings)

    async def __call__(
        self, method: str, path: str, body: Any = None, query: str = ""
    ) -> tuple[int, Any]:
        raw = b"" if body is None else msgspec.json.encode(body)
        headers = [(b"host", b"lictor.test:4200")]
        request = Request(method, f"/api/events{path}", query.encode(), headers, raw)
        response = await self._handle(request)
        return response.status, msgspec.json.decode(response.body) if response.body else None


@pytest.fixture
def api(world: World) -> Api:
    return Api(world)


def places(answer: Any) -> list[list[Any]]:
    return [fault["loc"] for fault in answer["exception_detail"]]


async def test_recorded_events_are_found_at_once(api: Api, world: World) -> None:
    assert await api("POST", "", [event(1), event(2)]) == (204, None)
    status, page = await api("POST", "/filter", {"filter": {"order": "ASC"}})
    assert status == 200
    assert page == {
        "events": msgspec.to_builtins([event(1), event(2)]),
        "total": 2,
        "next_page": None,
    }
    assert await api("POST", "", []) == (204, None)


async def test_the_time_of_arrival_is_the_servers(api: Api, world: World) -> None:
    await api("POST", "", [event(1, received="2020-01-01T00:00:00.000000Z")])
    assert world.stored()[0].received == world.mint.now()


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"resource": {"a": "b"}}, ["resource"]),
        ({"resource": {"prefect.resource.id": ""}}, ["resource"]),
        ({"related": [{"prefect.resource.id": "x"}]}, ["related", 0]),
        ({"event": "e" * 1025}, ["event"]),
        ({"occurred": "in a while"}, ["occurred"]),
        ({"occurred": "0001-01-01T00:00:00+05:00"}, ["occurred"]),
        ({"id": "nope"}, ["id"]),
    ],
)
async def test_one_bad_event_refuses_them_all(
    api: Api, world: World, changes: dict[str, Any], place: list[Any]
) -> None:
    status, answer = await api("POST", "", [event(1), event(2, **changes)])
    assert status == 422
    assert places(answer) == [["body", 1, *place]]
    (error,) = answer["exception_detail"]
    at_fault: Any = msgspec.to_builtins(event(2, **changes))
    for step in place:
        at_fault = at_fault[step]
    assert error["input"] == at_fault or error["loc"][-1] == "occurred"
    assert world.stored() == []


async def test_an_event_that_is_too_large_is_dropped_in_silence(api: Api, world: World) -> None:
    large = event(1, payload={"x": "y" * 1_500_000})
    assert await api("POST", "", [large, event(2)]) == (204, None)
    assert [item.id for item in world.stored()] == [event(2).id]


async def test_pages_lead_to_each_other_until_the_last(api: Api, world: World) -> None:
    await world.store(*[event(number) for number in range(5)])
    status, page = await api("POST", "/filter", {"filter": {"order": "ASC"}, "limit": 2})
    numbers = []
    while page["next_page"] is not None:
        numbers.append([item["payload"]["n"] for item in page["events"]])
        assert page["total"] == 5
        address, _, query = page["next_page"].partition("?")
        assert address == "http://lictor.test:4200/api/events/filter/next"
        await world.store(event(100 + len(numbers)))
        status, page = await api("GET", "/filter/next", query=query)
        assert status == 200
    numbers.append([item["payload"]["n"] for item in page["events"]])
    assert numbers == [[0, 1], [2, 3], [4]] or numbers == [[0, 1], [2, 3], [4, 101]]


@pytest.mark.parametrize("token", ["", "%25%25%25", "bm90IGEgdG9rZW4=", "W10=", "é"])
async def test_a_token_that_is_none_is_forbidden(api: Api, token: str) -> None:
    status, answer = await api("GET", "/filter/next", query=f"page-token={token}")
    assert (status, answer) == (403, {"detail": "Forbidden"})


async def test_a_token_is_needed(api: Api) -> None:
    status, answer = await api("GET", "/filter/next")
    assert (status, places(answer)) == (422, [["query", "page-token"]])


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"limit": 51}, ["limit"]),
        ({"limit": -1}, ["limit"]),
        ({"filter": {"order": "SIDEWAYS"}}, ["filter", "order"]),
        ({"filter": {"event": {"like": "x"}}}, ["filter", "event", "like"]),
        ({"filter": {"occurred": {"since": "then"}}}, ["filter", "occurred", "since"]),
        ({"filter": {"occurred": None}}, ["filter", "occurred"]),
        ({"filter": {"occurred": {"since": None}}}, ["filter", "occurred", "since"]),
        ({"filter": {"occurred": {"until": None}}}, ["filter", "occurred", "until"]),
    ],
)
async def test_a_bad_search_names_its_place(api: Api, body: Any, place: list[str]) -> None:
    status, answer = await api("POST", "/filter", body)
    assert (status, places(answer)) == (422, [["body", *place]])


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("mood", {"filter": {}}, ["path", "countable"]),
        ("time", {"filter": {}, "time_unit": "eon"}, ["body", "time_unit"]),
        ("time", {"filter": {}, "time_interval": 0}, ["body", "time_interval"]),
        ("event", {}, ["body", "filter"]),
    ],
)
async def test_a_bad_count_names_its_place(
    api: Api, path: str, body: Any, place: list[str]
) -> None:
    status, answer = await api("POST", f"/count-by/{path}", body)
    assert (status, places(answer)) == (422, [place])


async def test_events_are_counted_by_name_and_by_resource(api: Api, world: World) -> None:
    named = {"prefect.resource.id": "thing.1", "prefect.resource.name": "the thing"}
    other = {"prefect.resource.id": "thing.2"}
    await world.store(event(1), event(2, resource=named), event(3, resource=other, event="b"))
    _, counts = await api("POST", "/count-by/event", {"filter": {}})
    assert counts == [
        {
            "value": "thing.happened", "label": "thing.happened", "count": 2,
            "start_time": event(1).occurred, "end_time": event(2).occurred,
        },
        {
            "value": "b", "label": "b", "count": 1,
            "start_time": event(3).occurred, "end_time": event(3).occurred,
        },
    ]  # fmt: skip
    _, counts = await api("POST", "/count-by/resource", {"filter": {}})
    assert [(item["value"], item["label"], item["count"]) for item in counts] == [
        ("thing.1", "the thing", 2), ("thing.2", "thing.2", 1),
    ]  # fmt: skip


async def test_counts_are_the_same_when_only_the_predicate_can_tell(api: Api, world: World) -> None:
    def thing(number: int) -> dict[str, str]:
        return {"prefect.resource.id": "thing.1", "prefect.resource.name": f"name {number}"}

    numbers = (3, 0, 4, 1, 2)
    await world.store(*[event(n, event="ab"[n % 2], resource=thing(n)) for n in numbers])
    plain = {"occurred": {"since": times.shift(NOW, -120), "until": NOW}, "order": "ASC"}
    labelled = {**plain, "resource": {"labels": {"prefect.resource.id": "t*"}, "distinct": True}}
    for what in ("event", "resource", "time", "day"):
        path, unit = f"/count-by/{what}", {"time_unit": "minute"}
        exact = await api("POST", path, {"filter": plain, **unit})
        assert await api("POST", path, {"filter": labelled, **unit}) == exact
        assert sum(item["count"] for item in exact[1]) == 5
        if what == "resource":
            assert exact[1][0]["label"] == "name 4"


async def test_time_is_cut_from_a_monday_and_empty_buckets_are_there(
    api: Api, world: World
) -> None:
    moments = (
        "2024-04-01T00:00:00.000000Z",
        "2024-04-01T00:29:59.999999Z",
        "2024-04-01T01:10:00.000000Z",
    )
    await world.store(*[event(n, occurred=moment) for n, moment in enumerate(moments)])
    filter_ = {"occurred": {"since": "2024-03-31T23:45:00Z", "until": "2024-04-01T01:30:00Z"}}
    body = {"filter": filter_, "time_unit": "minute", "time_interval": 30}
    _, counts = await api("POST", "/count-by/time", body)
    assert [(item["value"], item["count"], item["label"]) for item in counts] == [
        ("0", 0, "2024-03-31T23:30:00+00:00"),
        ("1", 2, "2024-04-01T00:00:00+00:00"),
        ("2", 0, "2024-04-01T00:30:00+00:00"),
        ("3", 1, "2024-04-01T01:00:00+00:00"),
    ]
    assert counts[1]["start_time"] == "2024-04-01T00:00:00.000000Z"
    assert counts[1]["end_time"] == "2024-04-01T00:29:59.999999Z"


async def test_buckets_end_with_the_present_unit_when_the_filter_does_not(api: Api) -> None:
    filter_ = {"occurred": {"since": "2026-11-21T10:00:00Z", "until": "2026-12-25T00:00:00Z"}}
    body = {"filter": filter_, "time_unit": "hour"}
    _, counts = await api("POST", "/count-by/time", body)
    assert [item["label"][11:16] for item in counts] == ["10:00", "11:00", "12:00"]


async def test_too_many_buckets_are_refused_whatever_is_counted(api: Api) -> None:
    since, until = "2026-11-20T00:00:00Z", "2026-11-20T00:16:41Z"
    body = {"filter": {"occurred": {"since": since, "until": until}}, "time_unit": "second"}
    status, answer = await api("POST", "/count-by/event", body)
    assert status == 422
    assert "would create 1001 buckets" in answer["detail"]
