"""Dispatch: one request in, one response out, whatever happens in between.

Owns    the number of requests under way.
Limits  `requests_in_flight_max` requests; one more is answered 503 with Retry-After.
Fails   a refusal, an overload and a bug each become their answer; only cancellation passes through.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote

import apsw

from lictor.actors.ingress import csrf, openapi
from lictor.actors.ingress.gate import TEXT, Gate, Headers, overload, refusal
from lictor.actors.ingress.http import Request, Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.actors.ingress.router import Router
from lictor.actors.ingress.services import Services
from lictor.config.settings import Settings
from lictor.schema.backends import sqlite
from lictor.schema.errors import BadRequest, Conflict, Invalid, Refused, Unavailable
from lictor.schema.wire.decode import BodyDecoder

log = logging.getLogger("lictor.ingress")

QUERY_PARAMETERS_MAX = 200
OVERLOAD_RETRY_S = 1
MAINTENANCE_RETRY_S = 2

_NO_QUERY: Mapping[str, str] = MappingProxyType({})
_DONE = Response(204)
_NOT_FOUND = Response(404, b'{"detail":"Not Found"}')
_NOT_ALLOWED = b'{"detail":"Method Not Allowed"}'
_BUG = Response(500, b'{"exception_message":"Internal Server Error"}')
_INTEGRITY = (
    "Data integrity conflict. This usually means a unique or foreign key constraint was violated. "
    "See server logs for details."
)
_TOO_MANY = "Too many requests are under way; try again shortly."


class _Endpoint:
    """An operation made ready: its handler, its decoder and the status of its answer."""

    __slots__ = ("decode", "handler", "operation", "status")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.handler: Callable[[Call[Any]], Awaitable[Any]] = operation.handler
        self.status = operation.status
        self.decode: BodyDecoder[Any] | None = None
        if operation.body is not None:
            self.decode = BodyDecoder(operation.body, embedded=operation.optional_body)


class Dispatcher:
    """The `Handle` of the API.

    `maintenance` is why no request is taken for now (starting, draining), or None; clients are told
    to wait it out. `in_flight` counts the requests under way.
    """

    def __init__(
        self, services: Services, operations: Iterable[Operation], settings: Settings
    ) -> None:
        tokens = csrf.CsrfTokens(services.mint, settings.api_csrf_token_expiration_s)
        table = (*operations, *csrf.operations(tokens, settings))
        table += openapi.operations(table, settings.api_base_path)
        self.maintenance: str | None = None
        self.in_flight = 0
        self._in_flight_max = settings.requests_in_flight_max
        self._services = services
        self._gate = Gate(settings, tokens)
        self._health = settings.api_base_path + "/health"
        self._host = f"{settings.host}:{settings.port}".encode()
        self._router = Router(
            settings.api_base_path,
            ((operation.method, operation.path, _Endpoint(operation)) for operation in table),
        )

    async def __call__(self, request: Request) -> Response:
        """Answer `request`. Never raises but when cancelled."""
        headers = dict(request.headers)
        if self.in_flight >= self._in_flight_max:
            response = overload(_TOO_MANY, OVERLOAD_RETRY_S)
        else:
            self.in_flight += 1
            try:
                response = await self._answer(request, headers)
            finally:
                self.in_flight -= 1
        return self._gate.dress(response, headers)

    async def _answer(self, request: Request, headers: Headers) -> Response:
        gate = self._gate
        path = request.path
        if (preflight := gate.preflight(request, headers)) is not None:
            return preflight
        if self.maintenance is not None and path != self._health:
            return overload(self.maintenance, MAINTENANCE_RETRY_S, maintenance=True)
        try:
            gate.admit(request, headers)
            found = self._router.find(request.method, path)
            if found is None:
                return self._elsewhere(request, headers)
            gate.check_version(path, headers)
        except Refused as error:
            return refusal(error)
        return await self._perform(found[0], found[1], request)

    async def _perform(
        self, endpoint: _Endpoint, params: tuple[str, ...], request: Request
    ) -> Response:
        """Decode, call the handler, encode; every error becomes its answer."""
        try:
            decode = endpoint.decode
            body = None if decode is None else decode(request.body)
            query = _query(request.query) if request.query else _NO_QUERY
            result = await endpoint.handler(Call(self._services, request, params, body, query))
            if isinstance(result, Response):
                return result
            if endpoint.status == 204:
                return _DONE
            return Response(endpoint.status, encode(result))
        except Refused as error:
            return refusal(error)
        except Unavailable as error:
            return overload(error.reason, error.retry_after_s)
        except Exception as error:
            return _failure(endpoint.operation, error)

    def _elsewhere(self, request: Request, headers: Headers) -> Response:
        """The answer for a path and method that no operation has: 405, 307 or 404."""
        path = request.path
        if allowed := self._router.allowed(path):
            allow = ((b"allow", ", ".join(allowed).encode()),)
            return Response(405, _NOT_ALLOWED, headers=allow)
        other = path.rstrip("/") if path.endswith("/") else path + "/"
        if not self._router.allowed(other):
            return _NOT_FOUND
        host = headers.get(b"host", self._host).decode("latin-1")
        location = f"{request.scheme}://{host}{quote(other)}".encode("latin-1", "replace")
        if request.query:
            location += b"?" + request.query
        return Response(307, b"", TEXT, ((b"location", location),))


def _query(raw: bytes) -> Mapping[str, str]:
    """Decoded query parameters, the last of each name.

    Raises:
        BadRequest: there are more than any operation knows.
    """
    try:
        pairs = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_PARAMETERS_MAX
        )
    except ValueError:
        raise BadRequest(f"More than {QUERY_PARAMETERS_MAX} query parameters.") from None
    return dict(pairs)


def _failure(operation: Operation, error: Exception) -> Response:
    """The answer to what a handler did not foresee, logged with the operation's name."""
    if isinstance(error, apsw.Error):
        if (unavailable := sqlite.as_unavailable(error)) is not None:
            log.error("%s %s: %s", operation.method, operation.path, unavailable.reason)
            return overload(unavailable.reason, unavailable.retry_after_s)
        if isinstance(error, apsw.ConstraintError):
            log.error("%s %s", operation.method, operation.path, exc_info=error)
            return refusal(Conflict(_INTEGRITY))
    if isinstance(error, OverflowError):
        # Integers beyond 64 bits cannot be stored, moments beyond year 9999 cannot be reckoned
        # with: both come from the request and are found only where they are used.
        log.warning("%s %s", operation.method, operation.path, exc_info=error)
        return refusal(Invalid(f"A number or a moment is out of range: {error}."))
    log.error("%s %s", operation.method, operation.path, exc_info=error)
    return _BUG


def build_handle(
    services: Services, operations: Iterable[Operation], settings: Settings
) -> Dispatcher:
    """The `Handle` for every request below the API's prefix.

    Raises:
        ValueError: the table contradicts itself.
    """
    return Dispatcher(services, operations, settings)
