"""The `serving` fixture: every test of the edge runs in both modes."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from http_peers import Edge, Serving, served


@pytest.fixture(params=[True, False], ids=["fast-lane", "hypercorn"])
def serving(request: pytest.FixtureRequest) -> Serving:
    """`async with serving(handle, sockets, setting=...) as edge`, once in each mode."""

    def start(*args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Edge]:
        return served(request.param, *args, **kwargs)

    return start
