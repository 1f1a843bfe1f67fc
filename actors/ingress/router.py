"""From method and path to a route: a dictionary for fixed paths, a tree of segments for the rest.

A fixed segment beats a UUID, a UUID beats free text; a route that has the method beats one that
has not, whatever its form. Trailing slashes are part of a path.
Source: Starlette's routing and its path convertors, as the Prefect server uses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar
from uuid import UUID

R = TypeVar("R")

_UUID = re.compile(
    "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
)
_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


def canonical_uuid(text: str) -> str | None:
    """`text` as lower-case hyphenated UUID; None when it is none that a path may hold."""
    if _UUID.fullmatch(text) is None:
        return None
    if len(text) == 36:
        return text.lower()
    return str(UUID(text.replace("-", "")))


class _Node(Generic[R]):
    """A place in the tree. `routes` are those that end here, by method."""

    __slots__ = ("fixed", "free", "routes", "uuid")

    def __init__(self) -> None:
        self.routes: dict[str, R] = {}
        self.fixed: dict[str, _Node[R]] = {}
        self.uuid: _Node[R] | None = None
        self.free: _Node[R] | None = None


class Router(Generic[R]):
    """`routes` are (method, path below `prefix`, route).

    Raises:
        ValueError: two routes answer the same, or a parameter has an unknown form.
    """

    def __init__(self, prefix: str, routes: Iterable[tuple[str, str, R]]) -> None:
        self._below = prefix + "/"
        self._fixed: dict[str, dict[str, R]] = {}
        self._root: _Node[R] = _Node()
        methods: set[str] = set()
        for method, path, route in routes:
            node = self._root
            for segment in path[1:].split("/"):
                node = _child(node, segment)
            if method in node.routes:
                raise ValueError(f"two routes answer {method} {path}")
            node.routes[method] = route
            methods.add(method)
            if "{" not in path:
                self._fixed.setdefault(prefix + path, {})[method] = route
        self._methods = sorted(methods)

    def find(self, method: str, path: str) -> tuple[R, tuple[str, ...]] | None:
        """The route and its parameters in order; None when no route has both path and method."""
        fixed = self._fixed.get(path)
        if fixed is not None and (route := fixed.get(method)) is not None:
            return route, ()
        if not path.startswith(self._below):
            return None
        return _find(self._root, path[len(self._below) :].split("/"), 0, (), method)

    def allowed(self, path: str) -> list[str]:
        """The methods that `path` knows; empty when it is no path at all."""
        return [method for method in self._methods if self.find(method, path) is not None]


def _child(node: _Node[R], segment: str) -> _Node[R]:
    """The node below `node` for one segment of a declared path, made when it is new."""
    parameter = _PARAMETER.fullmatch(segment)
    if parameter is None:
        if "{" in segment:
            raise ValueError(f"cannot read the path segment {segment!r}")
        return node.fixed.setdefault(segment, _Node())
    if parameter[2] is None:
        node.uuid = node.uuid or _Node()
        return node.uuid
    if parameter[2] != "str":
        raise ValueError(f"unknown form of parameter {segment!r}")
    node.free = node.free or _Node()
    return node.free


def _find(
    node: _Node[R], segments: list[str], depth: int, params: tuple[str, ...], method: str
) -> tuple[R, tuple[str, ...]] | None:
    """The most exact route below `node` that has the method."""
    if depth == len(segments):
        route = node.routes.get(method)
        return None if route is None else (route, params)
    segment = segments[depth]
    depth += 1
    found = None
    if (child := node.fixed.get(segment)) is not None:
        found = _find(child, segments, depth, params, method)
    if found is None and node.uuid is not None:
        canonical = canonical_uuid(segment)
        if canonical is not None:
            found = _find(node.uuid, segments, depth, (*params, canonical), method)
    if found is None and node.free is not None and segment:
        found = _find(node.free, segments, depth, (*params, segment), method)
    return found
