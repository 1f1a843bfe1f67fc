"""Health, versions, settings, the default result storage."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from lictor.actors.ingress.api import admin
from lictor.config.settings import Settings
from lictor.schema.wire.server_settings import MASK, tree

ID = "0188a000-0000-7000-8000-0000000000ab"


class Database:
    """Readers whose only query succeeds, or fails with `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def inline(self, query: object) -> None:
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health", True),
        ("/ready", {"message": "OK"}),
        ("/hello", "👋"),
        ("/version", "0.8.4"),
        ("/admin/version", "3.9.1"),
        ("/admin/storage", {"default_result_storage_block_id": None}),
    ],
)
async def test_what_the_server_says_of_itself(
    make: Any, ask: Any, json: Any, path: str, body: object
) -> None:
    response = await ask(make(admin.OPERATIONS, Database()), "GET", path)
    assert (response.status, json(response)) == (200, body)


async def test_a_server_whose_database_fails_is_not_ready(make: Any, ask: Any, json: Any) -> None:
    handle = make(admin.OPERATIONS, Database(apsw.IOError("disk")))
    response = await ask(handle, "GET", "/ready")
    assert (response.status, json(response)) == (503, {"message": "Database is not available"})
    assert (await ask(handle, "GET", "/health")).status == 200


async def test_no_block_can_keep_results_where_there_are_none(
    make: Any, ask: Any, json: Any
) -> None:
    handle = make(admin.OPERATIONS)
    body = b'{"default_result_storage_block_id":"' + ID.upper().encode() + b'"}'
    response = await ask(handle, "PUT", "/admin/storage", body)
    assert (response.status, json(response)) == (
        404,
        {"detail": f"Block document {ID} not found."},
    )
    for wrong in (b"{}", b'{"default_result_storage_block_id":"x"}'):
        response = await ask(handle, "PUT", "/admin/storage", wrong)
        places = [error["loc"] for error in json(response)["exception_detail"]]
        assert places == [["body", "default_result_storage_block_id"]]
    assert (await ask(handle, "DELETE", "/admin/storage")).status == 204


async def test_the_settings_are_served_as_a_tree(make: Any, ask: Any, json: Any) -> None:
    handle = make(admin.OPERATIONS, port=4321, api_auth_string="user:password")
    header = (b"authorization", b"Basic dXNlcjpwYXNzd29yZA==")
    response = await ask(handle, "GET", "/admin/settings", headers=[header])
    assert response.status == 200
    assert json(response)["server"]["api"]["port"] == 4321
    assert b"user:password" not in response.body


def test_the_tree_has_the_sections_that_clients_know() -> None:
    found = tree(Settings())
    assert {"home", "api", "client", "logging", "results", "server", "tasks", "worker"} <= set(
        found
    )
    assert {"api", "database", "events", "logs", "services", "ui"} <= set(found["server"])
    assert found["server"]["logs"]["stream_out_enabled"] is True
    assert found["server"]["analytics_enabled"] is False
    assert found["server"]["ui"]["show_promotional_content"] is False
    assert found["server"]["database"]["sqlalchemy"]["connect_args"]["tls"]["enabled"] is False
    overrides = found["server"]["services"]["db_vacuum"]["event_retention_overrides"]
    assert overrides == {"prefect.flow-run.heartbeat": "P7D"}


def test_what_the_operator_decided_stands_in_the_tree_in_the_form_of_its_key() -> None:
    server = tree(
        Settings(
            host="0.0.0.0",
            api_default_limit=50,
            api_csrf_token_expiration_s=90_061.0,
            keep_alive_s=30.0,
            events_backfill_s=0.5,
        )
    )["server"]
    assert server["api"]["host"] == "0.0.0.0"
    assert server["api"]["default_limit"] == 50
    assert server["api"]["csrf_token_expiration"] == "P1DT1H1M1S"
    assert server["api"]["keepalive_timeout"] == 30
    assert server["events"]["maximum_websocket_backfill"] == "PT0.5S"


def test_secrets_are_masked_and_absent_ones_shown_as_absent() -> None:
    assert tree(Settings(api_auth_string="a:b"))["server"]["api"]["auth_string"] == MASK
    assert tree(Settings())["server"]["api"]["auth_string"] is None
