"""One request in, one response out, whatever the handler does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import apsw
import msgspec
import pytest
import trio

from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema import errors

ID = "0188a000-0000-7000-8000-0000000000ab"


class Thing(msgspec.Struct):
    name: str
    owner: UUID | None = None


class Page(msgspec.Struct):
    limit: int | None = None


async def create(call: Call[Thing]) -> Thing:
    return call.body


async def count(call: Call[Page]) -> int | None:
    return call.body.limit


async def echo(call: Call[None]) -> dict[str, Any]:
    return {"params": call.params, "query": dict(call.query), "body": call.body}


async def delete(call: Call[None]) -> None:
    return None


async def picture(call: Call[None]) -> Response:
    return Response(203, b"bytes", b"image/png")


def failing(error: Exception) -> Operation:
    async def fail(call: Call[None]) -> None:
        raise error

    return Operation("GET", "/fail", fail)


TABLE = (
    Operation("POST", "/things/", create, body=Thing, status=201),
    Operation("POST", "/things/count", count, body=Page, optional_body=True),
    Operation("GET", "/things/{id}", echo),
    Operation("GET", "/things/{id}/parts/{name:str}", echo),
    Operation("DELETE", "/things/{id}", delete, status=204),
    Operation("GET", "/picture", picture),
)


async def test_a_body_reaches_the_handler_and_its_result_the_caller(make: Any, ask: Any) -> None:
    response = await ask(make(TABLE), "POST", "/things/", b'{"name":"x"}')
    assert (response.status, response.body) == (201, b'{"name":"x","owner":null}')
    assert response.media_type == b"application/json"


async def test_parameters_arrive_decoded(make: Any, ask: Any, json: Any) -> None:
    path = f"/things/{ID.upper()}/parts/a b"
    response = await ask(make(TABLE), "GET", path, b"ignored", b"a=1&b=%C3%A9+x&a=2&c=")
    assert json(response) == {
        "params": [ID, "a b"],
        "query": {"a": "2", "b": "é x", "c": ""},
        "body": None,
    }


async def test_an_optional_body_may_be_absent(make: Any, ask: Any) -> None:
    handle = make(TABLE)
    assert (await ask(handle, "POST", "/things/count")).body == b"null"
    assert (await ask(handle, "POST", "/things/count", b'{"limit":"3"}')).body == b"3"


async def test_no_content_has_no_body(make: Any, ask: Any) -> None:
    response = await ask(make(TABLE), "DELETE", f"/things/{ID}")
    assert (response.status, response.body) == (204, b"")


async def test_a_response_of_the_handlers_own_passes_through(make: Any, ask: Any) -> None:
    response = await ask(make(TABLE), "GET", "/picture")
    assert response == Response(203, b"bytes", b"image/png")


async def test_an_invalid_body_is_answered_in_prefects_form(make: Any, ask: Any, json: Any) -> None:
    response = await ask(make(TABLE), "POST", "/things/", b'{"owner":"x"}')
    body = json(response)
    assert response.status == 422
    assert body["exception_message"] == "Invalid request received."
    assert body["request_body"] == {"owner": "x"}
    assert [error["loc"] for error in body["exception_detail"]] == [
        ["body", "name"],
        ["body", "owner"],
    ]
    assert all(error["msg"] and error["type"] for error in body["exception_detail"])


@pytest.mark.parametrize("path", ["/nothing", "/", "", "/things/x", f"/things/{ID}/parts/"])
async def test_an_unknown_path_is_not_found(make: Any, ask: Any, json: Any, path: str) -> None:
    response = await ask(make(TABLE), "GET", path)
    assert (response.status, json(response)) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS", "BREW"])
async def test_a_wrong_method_is_told_the_right_ones(
    make: Any, ask: Any, json: Any, method: str
) -> None:
    response = await ask(make(TABLE), method, f"/things/{ID}")
    assert (response.status, json(response)) == (405, {"detail": "Method Not Allowed"})
    assert response.headers == ((b"allow", b"DELETE, GET"),)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/things", b"https://host:1/api/things/?a=%20b"),
        ("/picture/", b"https://host:1/api/picture?a=%20b"),
        (f"/things/{ID}/parts/é/", f"https://host:1/api/things/{ID}/parts/%C3%A9?a=%20b".encode()),
    ],
)
async def test_a_slash_too_few_or_too_many_is_redirected(
    make: Any, ask: Any, path: str, location: bytes
) -> None:
    response = await ask(
        make(TABLE), "POST", path, b"{}", b"a=%20b", [(b"host", b"host:1")], scheme="https"
    )
    assert (response.status, response.body) == (307, b"")
    assert response.headers == ((b"location", location),)


async def test_a_redirect_without_host_names_the_address_listened_on(make: Any, ask: Any) -> None:
    response = await ask(make(TABLE, port=4300), "POST", "/things")
    assert response.headers == ((b"location", b"http://127.0.0.1:4300/api/things/"),)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.BadRequest("odd"), 400, {"detail": "odd"}),
        (errors.Forbidden("no"), 403, {"detail": "no"}),
        (errors.NotFound("gone"), 404, {"detail": "gone"}),
        (errors.Missing("gone"), 404, {"exception_message": "gone"}),
        (errors.Conflict("there"), 409, {"detail": "there"}),
        (errors.TooLarge("big"), 413, {"detail": "big"}),
        (errors.Invalid("limit"), 422, {"detail": "limit"}),
    ],
)
async def test_a_refusal_becomes_its_answer(
    make: Any, ask: Any, json: Any, error: Exception, status: int, body: dict[str, str]
) -> None:
    response = await ask(make([failing(error)]), "GET", "/fail")
    assert (response.status, json(response)) == (status, body)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (errors.Unavailable("full", 7), b"7"),
        (apsw.FullError("full"), b"5"),
        (apsw.IOError("broken"), b"5"),
        (apsw.BusyError("held"), b"1"),
    ],
)
async def test_an_unavailable_world_asks_to_come_again(
    make: Any, ask: Any, json: Any, error: Exception, retry_after: bytes
) -> None:
    response = await ask(make([failing(error)]), "GET", "/fail")
    assert response.status == 503
    assert response.headers == ((b"retry-after", retry_after),)
    assert json(response)["exception_message"] == "Service Unavailable"
    assert json(response)["detail"]


async def test_a_bug_is_logged_with_its_operation_and_hidden_from_the_caller(
    make: Any, ask: Any, json: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "lictor.ingress"):
        response = await ask(make([failing(KeyError("secret"))]), "GET", "/fail")
    assert (response.status, json(response)) == (
        500,
        {"exception_message": "Internal Server Error"},
    )
    (record,) = caplog.records
    assert record.getMessage() == "GET /fail"
    assert record.exc_info is not None


async def test_a_result_that_cannot_be_encoded_is_a_bug(make: Any, ask: Any) -> None:
    async def strange(call: Call[None]) -> object:
        return object()

    response = await ask(make([Operation("GET", "/fail", strange)]), "GET", "/fail")
    assert response.status == 500


async def test_an_integrity_error_of_the_database_is_a_conflict(
    make: Any, ask: Any, json: Any
) -> None:
    response = await ask(make([failing(apsw.ConstraintError("UNIQUE"))]), "GET", "/fail")
    assert response.status == 409
    assert json(response)["detail"].startswith("Data integrity conflict.")


async def test_a_number_that_fits_nowhere_is_the_callers_fault(make: Any, ask: Any) -> None:
    error = OverflowError("Python int too large to convert to C long")
    response = await ask(make([failing(error)]), "GET", "/fail")
    assert response.status == 422


async def test_too_many_query_parameters_are_refused(make: Any, ask: Any) -> None:
    response = await ask(make(TABLE), "GET", f"/things/{ID}", b"", b"&".join([b"a=1"] * 201))
    assert response.status == 400


async def test_one_request_too_many_is_asked_to_come_again(
    make: Any, ask: Any, autojump_clock: trio.testing.MockClock
) -> None:
    async def slow(call: Call[None]) -> int:
        await trio.sleep(1)
        return 1

    handle = make([Operation("GET", "/slow", slow)], requests_in_flight_max=2)
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await ask(handle, "GET", "/slow")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(one)
    assert statuses == [503, 200, 200]
    assert handle.in_flight == 0
    assert (await ask(handle, "GET", "/slow")).status == 200


async def test_a_cancelled_request_is_no_longer_under_way(make: Any, ask: Any) -> None:
    async def stuck(call: Call[None]) -> None:
        await trio.sleep_forever()

    handle = make([Operation("GET", "/stuck", stuck)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, handle, "GET", "/stuck")
        await trio.testing.wait_all_tasks_blocked()
        assert handle.in_flight == 1
        nursery.cancel_scope.cancel()
    assert handle.in_flight == 0


async def test_during_maintenance_clients_are_told_to_wait_it_out(
    make: Any, ask: Any, json: Any
) -> None:
    async def health(call: Call[None]) -> bool:
        return True

    handle = make([*TABLE, Operation("GET", "/health", health)])
    handle.maintenance = "lictor is stopping."
    response = await ask(handle, "GET", f"/things/{ID}")
    assert response.status == 503
    assert dict(response.headers) == {b"retry-after": b"2", b"prefect-maintenance": b"true"}
    assert json(response)["detail"] == "lictor is stopping."
    assert (await ask(handle, "GET", "/health")).status == 200
    handle.maintenance = None
    assert (await ask(handle, "GET", f"/things/{ID}")).status == 200


def test_a_table_that_contradicts_itself_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="two routes"):
        make([*TABLE, TABLE[0]])


async def test_the_prefix_is_a_setting(make: Any) -> None:
    from lictor.actors.ingress.http import Request

    handle = make(TABLE, api_base_path="/team/api")
    assert (await handle(Request("GET", "/team/api/picture", b"", [], b""))).status == 203
    assert (await handle(Request("GET", "/api/picture", b"", [], b""))).status == 404
