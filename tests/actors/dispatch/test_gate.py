"""What a request must carry, and what browsers of other origins are told."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lictor.actors.ingress.csrf import CLIENTS_MAX, CsrfTokens
from lictor.actors.ingress.http import Header
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.mint import Mint


async def answer(call: Call[None]) -> bool:
    return True


TABLE = (
    Operation("GET", "/things/", answer),
    Operation("POST", "/things/", answer),
    Operation("GET", "/health", answer),
    Operation("POST", "/health", answer),
    Operation("GET", "/ready", answer),
    Operation("GET", "/version", answer),
    Operation("GET", "/things/health", answer),
)
AUTH = "user:pässword"


def basic(text: str) -> Header:
    return b"authorization", b"Basic " + base64.b64encode(text.encode())


async def test_without_credentials_configured_any_authorization_will_do(
    make: Any, ask: Any
) -> None:
    handle = make(TABLE)
    for headers in ([], [(b"authorization", b"Bearer x")]):
        assert (await ask(handle, "GET", "/things/", headers=headers)).status == 200


async def test_the_right_credentials_pass(make: Any, ask: Any) -> None:
    handle = make(TABLE, api_auth_string=AUTH)
    assert (await ask(handle, "GET", "/things/", headers=[basic(AUTH)])).status == 200
    spaced = (b"authorization", b"Basic   " + base64.b64encode(AUTH.encode()))
    assert (await ask(handle, "GET", "/things/", headers=[spaced])).status == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        basic("user:password"),
        basic(""),
        (b"authorization", b""),
        (b"authorization", b"Basic"),
        (b"authorization", b"Basic =a=b"),
        (b"authorization", b"Basic \xff\xff"),
        (b"authorization", b"basic " + base64.b64encode(AUTH.encode())),
        (b"authorization", b"Bearer " + base64.b64encode(AUTH.encode())),
        (b"authorization", b"Basic " + base64.b64encode(AUTH.encode()) + b" more"),
        (b"authorization", AUTH.encode()),
    ],
)
async def test_wrong_credentials_are_unauthorized(
    make: Any, ask: Any, json: Any, header: Header | None
) -> None:
    handle = make(TABLE, api_auth_string=AUTH)
    response = await ask(handle, "GET", "/things/", headers=[] if header is None else [header])
    assert (response.status, json(response)) == (401, {"exception_message": "Unauthorized"})
    assert response.headers == ()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("POST", "/health", 401),
        ("GET", "/things/health", 401),
        ("GET", "/version", 401),
        ("GET", "/nothing", 401),
        ("GET", "/openapi.json", 401),
        ("GET", "/docs", 401),
    ],
)
async def test_only_the_two_probes_need_no_credentials(
    make: Any, ask: Any, method: str, path: str, status: int
) -> None:
    assert (await ask(make(TABLE, api_auth_string=AUTH), method, path)).status == status


@pytest.mark.parametrize("version", [None, b"", b"0.8.4", b"0.8.0", b"0.9.0", b"1.0.0", b" 0.8.4"])
async def test_a_version_that_is_spoken_passes(make: Any, ask: Any, version: bytes | None) -> None:
    headers = [] if version is None else [(b"x-prefect-api-version", version)]
    assert (await ask(make(TABLE), "GET", "/things/", headers=headers)).status == 200


@pytest.mark.parametrize("version", ["0.8", "1", "x.y.z", "0.8.4.1", "é"])
async def test_a_version_that_cannot_be_read_is_refused(
    make: Any, ask: Any, json: Any, version: str
) -> None:
    headers = [(b"x-prefect-api-version", version.encode("latin-1"))]
    response = await ask(make(TABLE), "GET", "/things/", headers=headers)
    assert response.status == 400
    assert json(response)["detail"] == (
        "Invalid X-PREFECT-API-VERSION header format."
        f"Expected header in format 'x.y.z' but received {version}"
    )


async def test_a_version_that_is_too_old_is_refused(make: Any, ask: Any, json: Any) -> None:
    headers = [(b"x-prefect-api-version", b"0.7.9")]
    handle = make(TABLE)
    response = await ask(handle, "GET", "/things/", headers=headers)
    assert response.status == 400
    assert json(response)["detail"] == (
        "The request specified API version 0.7.9 but this server requires version 0.8.0 or higher."
    )
    assert (await ask(handle, "GET", "/health", headers=headers)).status == 200
    assert (await ask(handle, "GET", "/version", headers=headers)).status == 200
    assert (await ask(handle, "GET", "/nothing", headers=headers)).status == 404


ORIGIN = (b"origin", b"https://ui.example")
ASKS = (b"access-control-request-method", b"POST")


async def test_every_origin_may_read_by_default(make: Any, ask: Any) -> None:
    handle = make(TABLE)
    expected = ((b"access-control-allow-origin", b"*"), (b"vary", b"Origin"))
    assert (await ask(handle, "GET", "/things/", headers=[ORIGIN])).headers == expected
    assert (await ask(handle, "GET", "/nothing", headers=[ORIGIN])).headers == expected
    assert (await ask(handle, "GET", "/things/")).headers == ()


async def test_only_listed_origins_may_read(make: Any, ask: Any) -> None:
    handle = make(TABLE, api_cors_allowed_origins="https://a.example, https://ui.example")
    allowed = await ask(handle, "GET", "/things/", headers=[ORIGIN])
    assert dict(allowed.headers) == {
        b"access-control-allow-origin": b"https://ui.example",
        b"vary": b"Origin",
    }
    other = await ask(handle, "GET", "/things/", headers=[(b"origin", b"https://evil.example")])
    assert other.headers == ((b"vary", b"Origin"),)


async def test_a_preflight_is_answered_before_credentials_are_asked_for(
    make: Any, ask: Any
) -> None:
    asked = (b"access-control-request-headers", b"x-prefect-api-version, authorization")
    response = await ask(
        make(TABLE, api_auth_string=AUTH), "OPTIONS", "/things/", headers=[ORIGIN, ASKS, asked]
    )
    headers = dict(response.headers)
    assert (response.status, response.body) == (200, b"OK")
    assert headers[b"access-control-allow-origin"] == b"*"
    assert b"POST" in headers[b"access-control-allow-methods"].split(b", ")
    assert headers[b"access-control-allow-headers"] == asked[1]
    assert headers[b"access-control-max-age"] == b"600"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"api_cors_allowed_origins": "https://a.example"}, b"Disallowed CORS origin"),
        ({"api_cors_allowed_methods": "GET"}, b"Disallowed CORS method"),
        ({"api_cors_allowed_headers": "x-one"}, b"Disallowed CORS headers"),
        (
            {"api_cors_allowed_methods": "GET", "api_cors_allowed_headers": "x-one"},
            b"Disallowed CORS method, headers",
        ),
    ],
)
async def test_a_preflight_for_what_is_not_allowed_says_so(
    make: Any, ask: Any, settings: dict[str, str], reason: bytes
) -> None:
    asked = (b"access-control-request-headers", b"X-One, X-Two")
    response = await ask(
        make(TABLE, **settings), "OPTIONS", "/things/", headers=[ORIGIN, ASKS, asked]
    )
    assert (response.status, response.body) == (400, reason)


async def test_a_preflight_from_a_listed_origin_names_it(make: Any, ask: Any) -> None:
    handle = make(
        TABLE, api_cors_allowed_origins="https://ui.example", api_cors_allowed_headers="X-One"
    )
    asked = (b"access-control-request-headers", b"x-one, content-type")
    response = await ask(handle, "OPTIONS", "/things/", headers=[ORIGIN, ASKS, asked])
    headers = dict(response.headers)
    assert response.status == 200
    assert headers[b"access-control-allow-origin"] == b"https://ui.example"
    assert b"X-One" in headers[b"access-control-allow-headers"].split(b", ")


async def test_no_answer_names_a_header_of_cors_twice(make: Any, ask: Any) -> None:
    """Browsers refuse an answer that allows their origin twice, the same one included."""
    handle = make(TABLE, api_csrf_protection_enabled=True)
    answers = [
        await ask(handle, "OPTIONS", "/things/", headers=[ORIGIN, ASKS]),
        await ask(handle, "POST", "/things/", headers=[ORIGIN, *csrf("0" * 64)]),
        await ask(handle, "GET", "/things/", headers=[ORIGIN]),
    ]
    assert [answer.status for answer in answers] == [200, 403, 200]
    for answer in answers:
        names = [name for name, _ in answer.headers]
        assert b"access-control-allow-origin" in names
        assert len(names) == len(set(names))


async def test_options_without_preflight_headers_is_a_wrong_method(make: Any, ask: Any) -> None:
    assert (await ask(make(TABLE), "OPTIONS", "/things/")).status == 405


def csrf(token: str, client: str = "c") -> list[Header]:
    return [(b"prefect-csrf-token", token.encode()), (b"prefect-csrf-client", client.encode())]


async def test_a_token_is_needed_to_write_and_not_to_read(make: Any, ask: Any, json: Any) -> None:
    handle = make(TABLE, api_csrf_protection_enabled=True, api_auth_string=AUTH)
    given = json(await ask(handle, "GET", "/csrf-token", query=b"client=c", headers=[basic(AUTH)]))
    assert set(given) == {"id", "created", "updated", "token", "client", "expiration"}
    assert len(bytes.fromhex(given["token"])) == 32
    passed = await ask(handle, "POST", "/things/", headers=[basic(AUTH), *csrf(given["token"])])
    assert passed.status == 200
    assert (await ask(handle, "GET", "/things/", headers=[basic(AUTH)])).status == 200


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([], "Missing CSRF token."),
        (csrf("x")[1:], "Missing CSRF token."),
        (csrf("x")[:1], "Missing client identifier."),
        (csrf("x"), "Invalid CSRF token or client identifier."),
        (csrf("\xff"), "Invalid CSRF token or client identifier."),
    ],
)
async def test_a_write_without_a_good_token_is_forbidden_before_credentials_are_looked_at(
    make: Any, ask: Any, json: Any, headers: list[Header], detail: str
) -> None:
    handle = make(TABLE, api_csrf_protection_enabled=True, api_auth_string=AUTH)
    await ask(handle, "GET", "/csrf-token", query=b"client=c", headers=[basic(AUTH)])
    response = await ask(handle, "POST", "/things/", headers=headers)
    assert (response.status, json(response)) == (403, {"detail": detail})
    assert bool(response.headers) == detail.startswith("Invalid")


async def test_a_token_is_good_for_its_client_until_it_expires_or_is_replaced(
    clock: Any,
) -> None:
    tokens = CsrfTokens(Mint(clock.ns), 3600.0)
    first = tokens.give("c").token
    assert tokens.holds("c", first)
    assert not tokens.holds("d", first)
    second = tokens.give("c").token
    assert not tokens.holds("c", first)
    clock.now_s += 3600
    assert tokens.holds("c", second)
    clock.now_s += 1
    assert not tokens.holds("c", second)


async def test_the_number_of_tokens_is_bounded(clock: Any) -> None:
    tokens = CsrfTokens(Mint(clock.ns), 3600.0)
    given = [tokens.give(str(n)).token for n in range(CLIENTS_MAX + 1)]
    assert not tokens.holds("0", given[0])
    assert tokens.holds("1", given[1])
    assert tokens.holds(str(CLIENTS_MAX), given[-1])


async def test_without_protection_no_tokens_are_given(make: Any, ask: Any, json: Any) -> None:
    handle = make(TABLE)
    response = await ask(handle, "GET", "/csrf-token", query=b"client=c")
    assert (response.status, json(response)) == (422, {"detail": "CSRF protection is disabled."})
    response = await ask(handle, "GET", "/csrf-token")
    assert [error["loc"] for error in json(response)["exception_detail"]] == [["query", "client"]]
