"""Priorities of a pool's queues: unique positive numbers, 1 is served first.

Source: `bulk_update_work_queue_priorities` of `prefect.server.models.workers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def first_free(taken: Iterable[int]) -> int:
    """The smallest positive number that no queue has."""
    numbers, free = set(taken), 1
    while free in numbers:
        free += 1
    return free


def moved(others: Sequence[tuple[str, int]], id_: str, wanted: int) -> dict[str, int]:
    """The priorities that change when queue `id_` gets `wanted`, its own included.

    `others`: ids and priorities of the pool's other queues, by priority. Those at `wanted` or
    behind it move back only as far as they must; the order among them stays.
    """
    before = [other for other in others if other[1] < wanted]
    behind = [other for other in others if other[1] >= wanted]
    changed: dict[str, int] = {}
    last = 0
    for queue, priority in (*before, (id_, wanted), *behind):
        last = max(priority, last + 1)
        if queue == id_ or last != priority:
            changed[queue] = last
    return changed
