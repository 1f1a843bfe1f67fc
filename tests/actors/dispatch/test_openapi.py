"""The OpenAPI document of the whole table, and the page that lists it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from lictor.actors.ingress import openapi
from lictor.actors.ingress.api import OPERATIONS
from lictor.actors.ingress.operations import Operation
from lictor.schema.errors import Refused
from lictor.schema.wire.decode import BodyDecoder

DOCUMENT = msgspec.json.decode(msgspec.json.encode(openapi.document(OPERATIONS, "/api")))


def entry(operation: Operation) -> dict[str, Any]:
    path = "/api" + re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", operation.path)
    found: dict[str, Any] = DOCUMENT["paths"][path][operation.method.lower()]
    return found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: f"{row.method} {row.path}")
def test_every_operation_is_in_the_document_with_its_parameters_and_body(
    operation: Operation,
) -> None:
    found = entry(operation)
    names = [parameter["name"] for parameter in found["parameters"]]
    assert names == re.findall(r"\{(\w+)", operation.path) + list(operation.query)
    assert ("requestBody" in found) == (operation.body is not None)
    assert str(operation.status) in found["responses"]
    assert all(answer["description"] for answer in found["responses"].values())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_to_a_schema() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in DOCUMENT["components"]["schemas"]


def test_the_document_is_of_version_3_1_and_its_operations_have_ids_of_their_own() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert set(DOCUMENT["info"]) >= {"title", "version"}
    ids = [each["operationId"] for item in DOCUMENT["paths"].values() for each in item.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    methods = {method for item in DOCUMENT["paths"].values() for method in item}
    assert methods <= {"get", "post", "put", "patch", "delete"}


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.body is not None],
    ids=lambda row: f"{row.method} {row.path}",
)
@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b"5", b'"x"', b'[{"a":[]}]', b"[5]"])
def test_every_body_type_can_be_walked_by_the_validator(operation: Operation, raw: bytes) -> None:
    decode = BodyDecoder[Any](operation.body, embedded=operation.optional_body)
    try:
        decode(raw)
    except Refused as refused:
        error = refused
    else:
        return
    assert error.status == 422
    msgspec.json.encode(error.body())


async def test_the_document_and_the_page_are_served_and_made_once(make: Any, ask: Any) -> None:
    handle = make(OPERATIONS)
    first = await ask(handle, "GET", "/openapi.json")
    assert first.status == 200
    paths = msgspec.json.decode(first.body)["paths"]
    assert set(DOCUMENT["paths"]) | {"/api/csrf-token"} == set(paths)
    assert (await ask(handle, "GET", "/openapi.json")).body is first.body
    page = await ask(handle, "GET", "/docs")
    assert page.media_type == b"text/html; charset=utf-8"
    assert b"<code>/api/flow_runs/{id}</code>" in page.body
    assert b"http" not in page.body.replace(b"<!doctype html>", b"").replace(b"<html", b"")
    assert (await ask(handle, "GET", "/redoc")).body == page.body
