"""CSRF tokens: one for each client that asked, kept in memory only.

Owns    the tokens. A client whose token is unknown (after a restart, say) is refused once, fetches
        a new one and comes again, so nothing of this needs to last.
Limits  `CLIENTS_MAX` tokens; beyond that the one given longest ago is forgotten.
Source: `prefect.server.api.csrf_token`, `prefect.server.api.middleware`.
"""

from __future__ import annotations

import hmac
import secrets

import msgspec

from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.config.settings import Settings
from lictor.schema.errors import Invalid
from lictor.schema.mint import Mint
from lictor.schema.times import Timestamp, shift
from lictor.schema.wire.decode import query

CLIENTS_MAX = 10_000


class CsrfToken(msgspec.Struct, frozen=True):
    """A token of one client, good until `expiration`."""

    id: str
    created: Timestamp
    updated: Timestamp
    token: str
    client: str
    expiration: Timestamp


class CsrfTokens:
    """See the module's head."""

    def __init__(self, mint: Mint, expiration_s: float) -> None:
        self._mint = mint
        self._expiration_s = expiration_s
        self._tokens: dict[str, CsrfToken] = {}

    def give(self, client: str) -> CsrfToken:
        """A new token for `client`, instead of the one it had."""
        now = self._mint.now()
        # The mint's draws can be repeated from a seed; a secret must not be.
        token = secrets.token_hex(32)
        given = CsrfToken(self._mint.id(), now, now, token, client, shift(now, self._expiration_s))
        self._tokens.pop(client, None)
        while self._tokens and self._has_room_for_less(now):
            del self._tokens[next(iter(self._tokens))]
        self._tokens[client] = given
        return given

    def _has_room_for_less(self, now: Timestamp) -> bool:
        """Whether the oldest token has to go: it expired, or there are too many."""
        oldest = self._tokens[next(iter(self._tokens))]
        return oldest.expiration < now or len(self._tokens) >= CLIENTS_MAX

    def holds(self, client: str, token: str) -> bool:
        """Whether `token` is the one `client` was given last, and still good."""
        given = self._tokens.get(client)
        if given is None or given.expiration < self._mint.now():
            return False
        return hmac.compare_digest(given.token.encode(), token.encode("utf-8", "replace"))


def operations(tokens: CsrfTokens, settings: Settings) -> tuple[Operation, ...]:
    """The row of the table that hands out `tokens`."""

    async def create_csrf_token(call: Call[None]) -> Response:
        """A new token for the client.

        Raises:
            InvalidRequest: no client is named.
            Invalid: tokens are disabled; clients then stop asking.
        """
        client = query(call, "client", str)
        if not settings.api_csrf_protection_enabled:
            raise Invalid("CSRF protection is disabled.")
        return Response(200, encode(tokens.give(client)))

    return (
        Operation(
            "GET",
            "/csrf-token",
            create_csrf_token,
            result=CsrfToken,
            query=("client",),
            summary="Create csrf token",
        ),
    )
