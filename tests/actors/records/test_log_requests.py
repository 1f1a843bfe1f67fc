"""Storing, searching and downloading log lines through the API."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from lictor.actors.ingress.api import logs as log_handlers
from lictor.schema.filters.logs import LiveFilter, LogFilter
from lictor.schema.tables import logs
from lictor.schema.wire.logs import LogCreate

RUN = "0197a1f0-0000-7000-8000-000000000001"
OTHER = "0197a1f0-0000-7000-8000-000000000002"
TASK = "0197a1f0-0000-7000-8000-00000000000a"


def line(message: str, second: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "name": "prefect.flow_runs",
        "level": 20,
        "message": message,
        "timestamp": f"2020-03-01T00:00:{second:02d}Z",
        "flow_run_id": RUN,
        **more,
    }


async def messages(api: Any, criteria: Any = None, **more: Any) -> list[str]:
    status, found = await api("POST", "/logs/filter", {"logs": criteria, **more})
    assert status == 200, found
    return [log["message"] for log in found]


async def test_a_stored_line_is_answered_whole(api: Any) -> None:
    sent = line("hällo", timestamp="2020-01-01T05:00:00.123456+05:00", task_run_id=TASK)
    assert await api("POST", "/logs/", [sent]) == (201, None)
    status, (found,) = await api("POST", "/logs/filter", {})
    assert status == 200
    assert {key: found[key] for key in sent} == {
        **sent,
        "timestamp": "2020-01-01T00:00:00.123456Z",
    }
    assert found["created"] == found["updated"]
    assert found["created"] > "2024"
    assert found["id"][14] == "8"


async def test_ids_of_lines_differ_and_stay(api: Any) -> None:
    await api("POST", "/logs/", [line("a"), line("b")])
    await api("POST", "/logs/", [line("c")])
    _, first = await api("POST", "/logs/filter", {})
    _, second = await api("POST", "/logs/filter", {})
    assert len({log["id"] for log in first}) == 3
    assert first == second


async def test_a_number_is_not_given_twice_even_after_the_newest_lines_are_deleted(
    api: Any,
) -> None:
    await api("POST", "/logs/", [line("a")])
    _, (before,) = await api("POST", "/logs/filter", {})
    await api.services.journal.write(lambda tx: logs.delete_for_flow_run(tx, RUN))
    await api("POST", "/logs/", [line("b")])
    _, (after,) = await api("POST", "/logs/filter", {})
    assert before["id"] != after["id"]


async def test_lines_come_by_timestamp_and_then_as_they_arrived(api: Any) -> None:
    await api("POST", "/logs/", [line("b", 1), line("c", 1), line("e", 2)])
    await api("POST", "/logs/", [line("a", 0), line("d", 1)])
    assert await messages(api) == ["a", "b", "c", "d", "e"]
    assert await messages(api, sort="TIMESTAMP_DESC") == ["e", "d", "c", "b", "a"]
    assert await messages(api, limit=2, offset=1) == ["b", "c"]
    assert await messages(api, limit=0) == []


async def test_nul_characters_are_taken_out_of_messages(api: Any) -> None:
    await api("POST", "/logs/", [line("a\0b\0")])
    assert await messages(api) == ["ab"]


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_moments_outside_the_calendar_are_stored_at_its_edge(api: Any, stamp: str) -> None:
    assert (await api("POST", "/logs/", [line("edge", timestamp=stamp)]))[0] == 201
    assert await messages(api) == ["edge"]


async def test_a_timestamp_without_zone_is_utc(api: Any) -> None:
    await api("POST", "/logs/", [line("naive", timestamp="2020-03-01T00:00:07")])
    _, (found,) = await api("POST", "/logs/filter", {})
    assert found["timestamp"] == "2020-03-01T00:00:07.000000Z"


async def test_one_bad_line_refuses_the_whole_batch(api: Any) -> None:
    status, answer = await api("POST", "/logs/", [line("good"), line("bad", level="loud")])
    assert status == 422
    assert answer["exception_detail"][0]["loc"] == ["body", 1, "level"]
    assert await messages(api) == []


@pytest.mark.parametrize("more", [{"extra": 1}, {"flow_run_id": "x"}, {"level": 2**70}])
async def test_lines_the_store_cannot_hold_are_refused(api: Any, more: Any) -> None:
    status, answer = await api("POST", "/logs/", [line("bad", **more)])
    assert status == 422
    assert answer["exception_detail"][0]["loc"] == ["body", 0, next(iter(more))]


async def test_an_empty_batch_is_taken(api: Any) -> None:
    assert await api("POST", "/logs/", []) == (201, None)


@pytest.fixture
async def stored(api: Any) -> Any:
    await api(
        "POST",
        "/logs/",
        [
            line("one alpha", 1),
            line("two beta", 3, level=30, task_run_id=TASK, name="prefect.task_runs"),
            line("three alpha beta", 2, level=40, name="other"),
            line("elsewhere", 4, flow_run_id=OTHER),
            line("nowhere", 5, flow_run_id=None),
        ],
    )
    return api


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"flow_run_id": {"any_": [RUN]}}, "one three two"),
        ({"flow_run_id": {"any_": [RUN, OTHER]}}, "one three two elsewhere"),
        ({"flow_run_id": {"any_": []}}, ""),
        ({"flow_run_id": {"any_": [str(uuid4())]}}, ""),
        ({"flow_run_id": {}}, "one three two elsewhere nowhere"),
        ({"level": {"ge_": 30}}, "three two"),
        ({"level": {"ge_": 30, "le_": 30}}, "two"),
        ({"level": {"ge_": 2**63}}, ""),
        ({"level": {"le_": 2**63}}, "one three two elsewhere nowhere"),
        ({"timestamp": {"after_": "2020-03-01T00:00:03Z"}}, "two elsewhere nowhere"),
        ({"timestamp": {"before_": "2020-03-01T01:00:02+01:00"}}, "one three"),
        ({"task_run_id": {"any_": [TASK]}}, "two"),
        ({"task_run_id": {"is_null_": True}}, "one three elsewhere nowhere"),
        ({"task_run_id": {"is_null_": False}}, "two"),
        ({"task_run_id": {"any_": [TASK], "is_null_": True}}, ""),
        ({"text": {"query": "ALPHA"}}, "one three"),
        ({"text": {"query": "alpha -beta"}}, "one"),
        ({"text": {"query": "+alpha +beta"}}, "three"),
        ({"text": {"query": "other"}}, "three"),
        ({"text": {"query": '"beta other"'}}, "three"),
        ({"text": {"query": "  "}}, "one three two elsewhere nowhere"),
        ({"text": {"query": "tw%"}}, ""),
        (
            {"operator": "or_", "task_run_id": {"any_": [TASK]}, "level": {"ge_": 40}},
            "three two",
        ),
        (
            {"operator": "or_", "text": {"query": "one -alpha"}},
            "one two elsewhere nowhere",
        ),
        ({"operator": "or_"}, "one three two elsewhere nowhere"),
        (
            {"operator": "or_", "level": {}, "text": {"query": "one"}},
            "one three two elsewhere nowhere",
        ),
    ],
)
async def test_stored_and_live_filters_choose_the_same_lines(
    stored: Any, criteria: Any, expected: str
) -> None:
    wanted = expected.split()
    found = await messages(stored, criteria)
    assert [message.split()[0] for message in found] == wanted
    live = LiveFilter(msgspec.convert(criteria, LogFilter))
    _, every = await stored("POST", "/logs/filter", {})
    keys = LogCreate.__struct_fields__
    lines = [msgspec.convert({key: log[key] for key in keys}, LogCreate) for log in every]
    assert [each.message.split()[0] for each in lines if live.matches(each)] == wanted


async def test_limits_and_sorts_are_checked(api: Any) -> None:
    assert (await api("POST", "/logs/filter", {"limit": 201}))[0] == 422
    assert (await api("POST", "/logs/filter", {"limit": -1}))[0] == 422
    assert (await api("POST", "/logs/filter", {"sort": "LEVEL_ASC"}))[0] == 422
    assert (await api("POST", "/logs/filter", {"logs": {"name": {}}}))[0] == 422
    text = {"text": {"query": "x" * 201}}
    assert (await api("POST", "/logs/filter", {"logs": text}))[0] == 422


async def download(api: Any, run_id: str) -> tuple[Any, list[list[str]], bytes]:
    response = await api.raw("GET", f"/flow_runs/{run_id}/logs/download")
    assert response.stream is not None
    data = b"".join([chunk async for chunk in response.stream])
    return response, list(csv.reader(io.StringIO(data.decode(), newline=""))), data


async def test_a_run_downloads_every_line_in_order(api: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(log_handlers, "CSV_PAGE_LINES", 3)
    await api.run(run_id=RUN)
    batch = [line(f"{n}", second=n // 4, flow_run_id=RUN) for n in range(9)]
    await api("POST", "/logs/", [*reversed(batch[4:]), *batch[:4]])
    await api("POST", "/logs/", [line("elsewhere", flow_run_id=OTHER)])
    _, rows, _ = await download(api, RUN)
    assert [row[4] for row in rows[1:]] == ["0", "1", "2", "3", "7", "6", "5", "4", "8"]


async def test_the_download_is_csv_as_prefect_writes_it(api: Any) -> None:
    await api.run(run_id=RUN)
    await api(
        "POST",
        "/logs/",
        [
            line('a "quoted", line\nwith two', timestamp="2024-01-01T00:00:00.123456Z"),
            line("plain", timestamp="2024-01-01T00:00:01Z", task_run_id=TASK),
        ],
    )
    response, _, data = await download(api, RUN)
    assert data.decode() == (
        "timestamp,level,flow_run_id,task_run_id,message\r\n"
        f'2024-01-01 00:00:00.123456+00:00,20,{RUN},,"a ""quoted"", line\nwith two"\r\n'
        f"2024-01-01 00:00:01+00:00,20,{RUN},{TASK},plain\r\n"
    )
    assert response.media_type == b"text/csv; charset=utf-8"
    disposition = dict(response.headers)[b"content-disposition"]
    assert disposition.endswith(b"filename*=UTF-8''the%20run-logs.csv")


async def test_a_run_without_lines_downloads_the_header(api: Any) -> None:
    await api.run(run_id=RUN)
    _, rows, _ = await download(api, RUN)
    assert rows == [["timestamp", "level", "flow_run_id", "task_run_id", "message"]]


async def test_the_lines_of_an_unknown_run_cannot_be_downloaded(api: Any) -> None:
    assert (await api("GET", f"/flow_runs/{RUN}/logs/download"))[0] == 404
