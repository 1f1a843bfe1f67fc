"""What the searches share: the filters of a body, and the limits of a page."""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.config.settings import Settings
from lictor.schema.errors import Invalid
from lictor.schema.filters.criteria import CriteriaOp

OFFSET_MAX = 2**62
"""Where SQLite's integers end; nothing has so many rows."""

_KINDS = {
    "flows": "flows",
    "flow_runs": "flow_runs",
    "task_runs": "task_runs",
    "deployments": "deployments",
    "work_pools": "work_pools",
    "work_pool_queues": "work_queues",
    "work_queues": "work_queues",
}
"""Keys of bodies that are filters, and the kind each is about."""


class Paged(msgspec.Struct):
    """The answer of a `paginate` operation. `results` are encoded already."""

    results: Any
    count: int
    limit: int
    pages: int
    page: int


def filters_of(body: object) -> dict[str, CriteriaOp]:
    """The filters a body carries, by kind."""
    found = {}
    for key, kind in _KINDS.items():
        criteria = getattr(body, key, None)
        if criteria is not None:
            found[kind] = criteria
    return found


def limit_of(asked: int | None, settings: Settings) -> int:
    """The rows a page may have: what was asked for, or the default, which is the maximum too.

    Raises:
        Invalid: below zero or over the maximum.
    """
    most = settings.api_default_limit
    if asked is None:
        return most
    if asked < 0:
        raise Invalid("Invalid limit: must be greater than or equal to 0.")
    if asked > most:
        raise Invalid(f"Invalid limit: must be less than or equal to {most}.")
    return asked


def offset_of(asked: int | None) -> int:
    """The rows to skip."""
    return min(asked or 0, OFFSET_MAX)


def paged(results: list[Any], count: int, limit: int, page: int) -> Paged:
    """The answer around one page of `count` rows."""
    pages = -(-count // limit) if limit else 0
    return Paged(results, count, limit, pages, page)
