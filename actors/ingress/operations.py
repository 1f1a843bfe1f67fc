"""The table of operations: every endpoint is one function, registered with method and path.

The table is the single source for dispatch, for the OpenAPI document and for documentation.
Handlers know nothing of the HTTP server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from lictor.actors.ingress.http import Request

if TYPE_CHECKING:
    from lictor.actors.ingress.services import Services

B = TypeVar("B")


class Call(Generic[B]):
    """One request to one operation, decoded.

    `params`: the path's parameters in order (UUIDs in canonical text). `body`: the decoded body, or
    None where the operation takes none. `query`: decoded query parameters, the last of each name.
    """

    __slots__ = ("body", "params", "query", "request", "services")

    def __init__(
        self,
        services: Services,
        request: Request,
        params: tuple[str, ...],
        body: B,
        query: Mapping[str, str],
    ) -> None:
        self.services = services
        self.request = request
        self.params = params
        self.body = body
        self.query = query


class Operation(msgspec.Struct, frozen=True):
    """One row of the table.

    `path` is relative to the API prefix; `{id}` stands for a UUID (another text does not match the
    route), `{name:str}` for any one segment. `body` is the msgspec type of the body, None without
    one; `optional_body`: an absent body counts as `{}`. `result` is the answer's type, for the
    OpenAPI document. The handler returns something msgspec can encode, sent with `status`, or a
    `Response` of its own.
    """

    method: str
    path: str
    handler: Callable[[Call[Any]], Awaitable[Any]]
    body: Any = None
    result: Any = None
    status: int = 200
    optional_body: bool = False
    query: tuple[str, ...] = ()
    summary: str = ""
