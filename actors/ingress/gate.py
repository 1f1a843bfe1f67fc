"""The gate: what every API request passes before its operation, and every answer on its way out.

CORS, then CSRF, then authentication, in the order of the Prefect server; the API version is looked
at once the operation is known.
Source: `prefect.server.api.server`, `.middleware`, `.dependencies`; Starlette's CORS middleware.
"""

from __future__ import annotations

import base64
import hmac
from binascii import Error as NotBase64

import msgspec

from lictor.actors.ingress.csrf import CsrfTokens
from lictor.actors.ingress.http import Header, Request, Response, encode
from lictor.config.settings import Settings
from lictor.schema.errors import BadRequest, Forbidden, Refused, Unauthorized
from lictor.schema.wire.versions import API_VERSION, API_VERSION_MIN

TEXT = b"text/plain; charset=utf-8"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SAFE_HEADERS = frozenset({"Accept", "Accept-Language", "Content-Language", "Content-Type"})
PREFLIGHT_AGE_S = 600

Headers = dict[bytes, bytes]
_CURRENT_VERSION = API_VERSION.encode()


class Gate:
    """Built once from the settings; holds nothing about single requests."""

    def __init__(self, settings: Settings, tokens: CsrfTokens) -> None:
        self._cors = Cors(settings)
        self._tokens = tokens if settings.api_csrf_protection_enabled else None
        self._credentials: bytes | None = None
        if settings.api_auth_string is not None:
            self._credentials = settings.api_auth_string.encode()
            self._authorization = b"Basic " + base64.b64encode(self._credentials)
        base = settings.api_base_path
        self._open_paths = frozenset({f"{base}/health", f"{base}/ready"})
        self._unversioned = frozenset({f"{base}/health", f"{base}/version"})

    def preflight(self, request: Request, headers: Headers) -> Response | None:
        """The answer to a CORS preflight; None for every other request."""
        if request.method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        origin = headers.get(b"origin")
        return None if origin is None else self._cors.preflight(origin, headers)

    def admit(self, request: Request, headers: Headers) -> None:
        """Let the request pass.

        Raises:
            Forbidden: it lacks a CSRF token it needs.
            Unauthorized: it lacks the credentials.
        """
        if self._tokens is not None and request.method in WRITING:
            _check_csrf(self._tokens, headers)
        if self._credentials is not None:
            is_probe = request.method == "GET" and request.path in self._open_paths
            if not is_probe and not self._is_authorized(headers.get(b"authorization")):
                raise Unauthorized

    def _is_authorized(self, header: bytes | None) -> bool:
        if header is None or self._credentials is None:
            return False
        if hmac.compare_digest(header, self._authorization):
            return True
        scheme, _, rest = header.partition(b" ")
        words = rest.split()
        if scheme != b"Basic" or len(words) != 1:
            return False
        try:
            return hmac.compare_digest(base64.b64decode(words[0]), self._credentials)
        except NotBase64:
            return False

    def check_version(self, path: str, headers: Headers) -> None:
        """Refuse a client that asks for a protocol lictor no longer speaks.

        Raises:
            BadRequest: the header is malformed, or names a version that is too old.
        """
        header = headers.get(b"x-prefect-api-version")
        if header is None or header == _CURRENT_VERSION or path in self._unversioned or not header:
            return
        given = header.decode("latin-1")
        try:
            major, minor, patch = (int(part) for part in given.split("."))
        except ValueError:
            raise BadRequest(
                "Invalid X-PREFECT-API-VERSION header format."
                f"Expected header in format 'x.y.z' but received {given}"
            ) from None
        if (major, minor, patch) < API_VERSION_MIN:
            least = ".".join(map(str, API_VERSION_MIN))
            raise BadRequest(
                f"The request specified API version {given} but this server requires version "
                f"{least} or higher."
            )

    def dress(self, response: Response, headers: Headers) -> Response:
        """The answer with what browsers of other origins need to read it, unless it says so itself.

        A browser refuses an answer that allows its origin twice.
        """
        said = {name for name, _ in response.headers}
        wanted = self._cors.headers(headers.get(b"origin"))
        added = tuple(header for header in wanted if header[0] not in said)
        return with_headers(response, added) if added else response


class InvalidCsrf(Forbidden):
    """403 of a token that is not, or no longer, the client's: it fetches a new one and retries."""

    def __init__(self) -> None:
        super().__init__("Invalid CSRF token or client identifier.")


def _check_csrf(tokens: CsrfTokens, headers: Headers) -> None:
    token = headers.get(b"prefect-csrf-token")
    if token is None:
        raise Forbidden("Missing CSRF token.")
    client = headers.get(b"prefect-csrf-client")
    if client is None:
        raise Forbidden("Missing client identifier.")
    if not tokens.holds(client.decode("latin-1"), token.decode("latin-1")):
        raise InvalidCsrf


_ANY_ORIGIN: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"), (b"vary", b"Origin"))


class Cors:
    """Which pages of other origins may call the API, and how they are told."""

    def __init__(self, settings: Settings) -> None:
        self._origins = _listed(settings.api_cors_allowed_origins)
        self._every_origin = "*" in self._origins
        methods = _listed(settings.api_cors_allowed_methods)
        self._methods = METHODS if "*" in methods else methods
        allowed = _listed(settings.api_cors_allowed_headers)
        self._every_header = "*" in allowed
        self._headers = tuple(sorted(SAFE_HEADERS | set(allowed)))
        self._known = frozenset(name.lower() for name in self._headers)

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """What an ordinary answer to a request from `origin` carries."""
        if self._every_origin:
            return () if origin is None else _ANY_ORIGIN
        vary = (b"vary", b"Origin")
        if origin is None or origin.decode("latin-1") not in self._origins:
            return (vary,)
        return ((b"access-control-allow-origin", origin), vary)

    def preflight(self, origin: bytes, headers: Headers) -> Response:
        """The answer to a browser that asks before it sends the request itself."""
        method = headers[b"access-control-request-method"].decode("latin-1")
        asked = headers.get(b"access-control-request-headers")
        answer: list[Header] = [
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            (b"access-control-allow-methods", ", ".join(self._methods).encode()),
            (b"access-control-max-age", str(PREFLIGHT_AGE_S).encode()),
        ]
        failures = []
        if self._every_origin:
            answer.append((b"access-control-allow-origin", b"*"))
        elif origin.decode("latin-1") in self._origins:
            answer.append((b"access-control-allow-origin", origin))
        else:
            failures.append("origin")
        if method not in self._methods:
            failures.append("method")
        if not self._every_header:
            answer.append((b"access-control-allow-headers", ", ".join(self._headers).encode()))
        elif asked is not None:
            answer.append((b"access-control-allow-headers", asked))
        if asked is not None and not self._every_header:
            names = (name.strip().lower() for name in asked.decode("latin-1").split(","))
            if any(name not in self._known for name in names):
                failures.append("headers")
        if failures:
            text = "Disallowed CORS " + ", ".join(failures)
            return Response(400, text.encode(), TEXT, tuple(answer))
        return Response(200, b"OK", TEXT, tuple(answer))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


def with_headers(response: Response, added: tuple[Header, ...]) -> Response:
    """A copy of `response` with more headers."""
    return msgspec.structs.replace(response, headers=(*response.headers, *added))


def refusal(error: Refused) -> Response:
    """The answer that tells a caller what it did wrong."""
    headers: tuple[Header, ...] = ()
    if isinstance(error, InvalidCsrf):
        headers = ((b"access-control-allow-origin", b"*"),)
    return Response(error.status, encode(error.body()), headers=headers)


def overload(reason: str, retry_after_s: int, *, maintenance: bool = False) -> Response:
    """503: the caller may come again. Clients wait out a `maintenance` for as long as it lasts."""
    headers: tuple[Header, ...] = ((b"retry-after", str(retry_after_s).encode()),)
    if maintenance:
        headers += ((b"prefect-maintenance", b"true"),)
    body = {"exception_message": "Service Unavailable", "detail": reason}
    return Response(503, encode(body), headers=headers)
