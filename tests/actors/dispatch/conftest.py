"""A dispatcher over a small table of operations, and a way to ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from lictor.actors.ingress.dispatch import Dispatcher, build_handle
from lictor.actors.ingress.http import Header, Request, Response
from lictor.actors.ingress.operations import Operation
from lictor.actors.ingress.services import Services
from lictor.config.settings import Settings
from lictor.schema.mint import Mint

Ask = Callable[..., Awaitable[Response]]


class Clock:
    """Wall time that a test moves by hand, in seconds."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000

    def ns(self) -> int:
        return self.now_s * 1_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Callable[..., Dispatcher]:
    """Builds a dispatcher from operations and settings."""

    def build(
        operations: Sequence[Operation] = (), readers: object = None, **settings: Any
    ) -> Dispatcher:
        chosen = Settings(**settings)
        services = SimpleNamespace(settings=chosen, mint=Mint(clock.ns), readers=readers)
        return build_handle(cast(Services, services), operations, chosen)

    return build


@pytest.fixture
def ask() -> Ask:
    """Sends one request to a dispatcher, `path` below the usual prefix."""

    async def send(
        handle: Dispatcher,
        method: str,
        path: str,
        body: bytes = b"",
        query: bytes = b"",
        headers: Sequence[Header] = (),
        scheme: str = "http",
    ) -> Response:
        return await handle(
            Request(method, "/api" + path, query, list(headers), body, scheme=scheme)
        )

    return send


@pytest.fixture
def json() -> Callable[[Response], Any]:
    return lambda response: msgspec.json.decode(response.body)
