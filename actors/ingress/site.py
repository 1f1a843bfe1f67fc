"""What the edge serves, whichever lane a request came by."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from lictor.actors.ingress.http import Handle, Request, Response
from lictor.actors.ingress.response_writer import compressed, is_loopback
from lictor.actors.ingress.socket import SocketHandler
from lictor.config.settings import Settings

if TYPE_CHECKING:
    from lictor.actors.ingress.pages import Pages

_log = logging.getLogger("lictor.ingress")
_BROKEN: Final = Response(500, b'{"exception_message":"Internal Server Error"}')


class Site:
    """The API below its prefix, its sockets, and pages for every other path."""

    def __init__(
        self, settings: Settings, handle: Handle, sockets: Mapping[str, SocketHandler]
    ) -> None:
        self.settings = settings
        self._handle = handle
        self._sockets = sockets
        self._prefix = settings.api_base_path.rstrip("/")
        self._below = self._prefix + "/"
        self._pages: Pages | None = None

    async def answer(self, request: Request) -> Response:
        """The answer to one request; what escapes its handler is logged and answered 500."""
        path = request.path
        try:
            if path.startswith(self._below) or path == self._prefix:
                return await self._handle(request)
            return await self._page(request)
        except Exception:
            _log.exception("The handler of %s %s failed.", request.method, path)
            return _BROKEN

    async def _page(self, request: Request) -> Response:
        if self._pages is None:
            from lictor.actors.ingress.pages import Pages  # tens of megabytes: only when asked for

            self._pages = Pages(self._prefix)
        return await self._pages.answer(request)

    def socket(self, path: str) -> SocketHandler | None:
        """Who serves WebSockets at `path`, if anyone does.

        The handler of `/work_pools/{}/workers/connect` serves every path that has any one segment
        in the place of `{}`, and reads it from the path of its socket.
        """
        if not path.startswith(self._below):
            return None
        below = path[len(self._prefix) :]
        handler = self._sockets.get(below)
        if handler is None:
            segments = below.split("/")
            if len(segments) > 2 and segments[2]:
                segments[2] = "{}"
                handler = self._sockets.get("/".join(segments))
        return handler

    def compresses_for(self, peer: str | None) -> bool:
        """Whether answers to `peer` are worth compressing."""
        return self.settings.http_compression == "auto" and not is_loopback(peer)

    async def compressed(self, request: Request, response: Response) -> Response:
        """`response` in the form in which it leaves for a peer that is worth it."""
        return await compressed(request, response)
