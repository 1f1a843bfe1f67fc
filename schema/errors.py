"""What can go wrong between a caller and lictor, and whose fault it is.

`Refused` and its kin: the caller is wrong; nothing was changed; the edge answers with `status` and
`body()`. `Unavailable`: the world is wrong (disk full, mailbox full); the edge answers 503 with
Retry-After and nothing was acknowledged. Anything else that escapes is a bug in lictor.

Source: the bodies mirror `prefect.server.api.server` and FastAPI's `HTTPException`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class Refused(Exception):
    """The caller is wrong. Raise a subclass; `detail` says what, about which id, and what to do."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def body(self) -> dict[str, Any]:
        return {"detail": self.detail}


class BadRequest(Refused):
    """400: the request cannot be understood (a malformed header or version, say)."""


class Unauthorized(Refused):
    """401: credentials are missing or wrong."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Unauthorized")

    def body(self) -> dict[str, Any]:
        return {"exception_message": "Unauthorized"}


class Forbidden(Refused):
    """403: understood and not allowed."""

    status = 403


class NotFound(Refused):
    """404 with `detail`: the thing asked for by a route does not exist."""

    status = 404


class Missing(NotFound):
    """404 with `exception_message`: an object a command needed does not exist.

    Source: Prefect's `ObjectNotFoundError` handler.
    """

    def body(self) -> dict[str, Any]:
        return {"exception_message": self.detail}


class Conflict(Refused):
    """409: a unique or foreign key, or the state of the thing, stands against it."""

    status = 409


class IntegrityConflict(Conflict):
    """409: a unique or foreign key of the database stands against it; `reason` is for the log.

    Source: the text is that of Prefect's handler for integrity errors.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Data integrity conflict. This usually means a unique or foreign key constraint was"
            " violated. See server logs for details."
        )
        self.reason = reason


class TooLarge(Refused):
    """413: a body or a frame is over its limit; `detail` names the limit."""

    status = 413


class Invalid(Refused):
    """422 with a `detail` text: an explicit check failed (a limit, an interval)."""

    status = 422


class FieldError(msgspec.Struct, frozen=True):
    """One failed field. `loc` starts with "body", "query", "path" or "header"; `ctx` holds what
    `msg` was made of, for those who word it anew.
    """

    type: str
    loc: tuple[str | int, ...]
    msg: str
    input: Any = None
    ctx: dict[str, Any] | UnsetType = UNSET


class InvalidRequest(Refused):
    """422 in the form of Prefect's request validation: every failed field, and the body as read."""

    status = 422

    def __init__(self, errors: list[FieldError], request_body: Any = None) -> None:
        super().__init__("Invalid request received.")
        self.errors = errors
        self.request_body = request_body

    def body(self) -> dict[str, Any]:
        return {
            "exception_message": self.detail,
            "exception_detail": self.errors,
            "request_body": self.request_body,
        }


class Unavailable(Exception):
    """The world is wrong for now: the caller may come again after `retry_after_s` seconds."""

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
