"""The OpenAPI document and the page that lists the operations, both made from the table.

Source: OpenAPI 3.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.wire.versions import API_VERSION

HTML = b"text/html; charset=utf-8"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_REF = "#/components/schemas/{name}"

Json = dict[str, Any]


class RequestError(msgspec.Struct):
    """The answer to a request that fails validation."""

    exception_message: str
    exception_detail: list[dict[str, Any]]
    request_body: Any


def operations(table: Sequence[Operation], prefix: str) -> tuple[Operation, ...]:
    """The rows that serve the document and the page for `table`, made on the first request."""
    made: dict[str, Response] = {}

    async def read_document(call: Call[None]) -> Response:
        if "document" not in made:
            made["document"] = Response(200, encode(document(table, prefix)))
        return made["document"]

    async def read_page(call: Call[None]) -> Response:
        if "page" not in made:
            made["page"] = Response(200, page(table, prefix).encode(), HTML)
        return made["page"]

    return (
        Operation("GET", "/openapi.json", read_document, summary="This document"),
        Operation("GET", "/docs", read_page, summary="The list of operations"),
        Operation("GET", "/redoc", read_page, summary="The list of operations"),
    )


def document(table: Sequence[Operation], prefix: str) -> Json:
    """The OpenAPI document: every operation, with the schemas of its body and its answer."""
    types = [operation.body for operation in table if operation.body is not None]
    types += [operation.result for operation in table if operation.result is not None]
    types.append(RequestError)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    found = iter(schemas)
    bodies = [None if operation.body is None else next(found) for operation in table]
    results = [None if operation.result is None else next(found) for operation in table]
    refusal = next(found)
    paths: dict[str, Json] = {}
    for operation, body, result in zip(table, bodies, results, strict=True):
        item = paths.setdefault(prefix + _bare(operation.path), {})
        item[operation.method.lower()] = _entry(operation, body, result, refusal)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lictor", "version": API_VERSION},
        "paths": paths,
        "components": {"schemas": components},
    }


def _entry(operation: Operation, body: Any, result: Any, refusal: Any) -> Json:
    """The Operation Object of one row."""
    segments = operation.path.split("/")
    answer: Json = {"description": "Done."}
    if operation.status != 204:
        answer["content"] = _json_content({} if result is None else result)
    entry: Json = {
        "summary": operation.summary,
        "operationId": f"{operation.handler.__name__}_{operation.method}_{operation.path}",
        "tags": [segments[1] or "root"],
        "parameters": _path_parameters(operation.path)
        + [
            {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
            for name in operation.query
        ],
        "responses": {str(operation.status): answer},
    }
    if body is not None:
        entry["requestBody"] = {
            "required": not operation.optional_body,
            "content": _json_content(body),
        }
        entry["responses"]["422"] = {
            "description": "The request is invalid.",
            "content": _json_content(refusal),
        }
    return entry


def _bare(path: str) -> str:
    """The path with nothing but the names of its parameters in braces."""
    return _PARAMETER.sub(r"{\1}", path)


def _json_content(schema: Any) -> Json:
    return {"application/json": {"schema": schema}}


def _path_parameters(path: str) -> list[Json]:
    found: list[Json] = []
    for match in _PARAMETER.finditer(path):
        schema = {"type": "string"} if ":" in match[0] else {"type": "string", "format": "uuid"}
        found.append({"name": match[1], "in": "path", "required": True, "schema": schema})
    return found


def page(table: Sequence[Operation], prefix: str) -> str:
    """One plain HTML page that names every operation and needs nothing from anywhere else."""
    from html import escape  # for a page that is seldom asked for

    rows = "\n".join(
        f"<tr><td>{operation.method}</td>"
        f"<td><code>{escape(prefix + _bare(operation.path))}</code></td>"
        f"<td>{escape(operation.summary)}</td></tr>"
        for operation in sorted(table, key=lambda row: (row.path, row.method))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>lictor API</title>'
        "<style>body{font-family:sans-serif;margin:2rem}td{padding:.2rem .8rem}</style></head>"
        f'<body><h1>lictor API</h1><p><a href="{prefix}/openapi.json">openapi.json</a></p>'
        f"<table>{rows}</table></body></html>"
    )
