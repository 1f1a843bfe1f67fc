"""Pages for people: everything outside the API's path.

Imported when the first page is asked for, as a web framework takes tens of megabytes. The pages are
a quart-trio application; `Pages.answer` carries one request through it, whichever lane it came by.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import trio
from quart import ResponseReturnValue
from quart import request as current
from quart_trio import QuartTrio

from lictor.actors.ingress.http import Request, Response

_START: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>lictor</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}
code{{background:#8882;padding:.1em .3em;border-radius:.2em}}</style></head><body>
<h1>lictor</h1>
<p>A small, fast, durable orchestration server that speaks the Prefect 3 API.</p>
<p>The API is at <a href="{prefix}/health"><code>{prefix}</code></a>. Point a client at it:</p>
<p><code>prefect config set PREFECT_API_URL={origin}{prefix}</code></p>
</body></html>
"""


class Pages:
    """The pages of a server whose API is below `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._application = app = QuartTrio("lictor", root_path=str(Path(__file__).parent))

        @app.get("/")
        async def start() -> ResponseReturnValue:
            origin = f"{current.scheme}://{current.host}"
            return _START.format(prefix=escape(prefix), origin=escape(origin))

        @app.errorhandler(404)
        async def not_found(_: Exception) -> ResponseReturnValue:
            return {"detail": "Not Found"}, 404

        @app.errorhandler(405)
        async def not_allowed(_: Exception) -> ResponseReturnValue:
            return {"detail": "Method Not Allowed"}, 405

    async def answer(self, request: Request) -> Response:
        """The page for `request`, or a 404 in the API's form."""
        return await _Exchange(request).run(self._application)


class _Exchange:
    """One request and its answer as ASGI messages, without a connection."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._given = False
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def run(self, app: Any) -> Response:
        request = self._request
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.scheme,
            "path": request.path,
            "raw_path": quote(request.path).encode(),
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": (request.peer, 0) if request.peer else None,
            "server": None,
            "extensions": {},
        }
        await app(scope, self._receive, self._send)
        media_type = b"application/octet-stream"
        extra: list[tuple[bytes, bytes]] = []
        for name, value in self._headers:
            if name.lower() == b"content-type":
                media_type = value
            elif name.lower() != b"content-length":
                extra.append((name, value))
        return Response(self._status, bytes(self._body), media_type, tuple(extra))

    async def _receive(self) -> dict[str, Any]:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await trio.sleep_forever()  # quart cancels this watch for a disconnect when it has answered
        raise AssertionError

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
