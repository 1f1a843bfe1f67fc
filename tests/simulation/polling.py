"""What polls must be answered: worked out from the plain rows, in Python, at every commit.

A poll reads between two commits. So its answer is right if it is what any of the states of the
store demands that were there between the request and the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from simulation.wrong import Wrong

Answer = tuple[str, ...]
"""Ids of runs, in order."""
Expect = Callable[[apsw.Connection], Answer]


class Polls:
    """The polls in flight, each with the answers that have been right since it was sent."""

    def __init__(self) -> None:
        self._in_flight: list[tuple[Expect, list[Answer]]] = []

    def check_commit(self, connection: apsw.Connection) -> None:
        """Note what is right from this commit on."""
        for expect, answers in self._in_flight:
            answers.append(expect(connection))

    @contextmanager
    def sent(self, connection: apsw.Connection, expect: Expect) -> Iterator[list[Answer]]:
        """In the block a poll is on its way; all answers that are right."""
        poll = (expect, [expect(connection)])
        self._in_flight.append(poll)
        try:
            yield poll[1]
        finally:
            self._in_flight.remove(poll)


def check(what: str, answer: Answer, right: list[Answer]) -> None:
    """Raises `Wrong` unless this answer was right at some time."""
    if answer not in right:
        raise Wrong(f"{what} was answered {answer}, and not one of {right}")


def of_pool(name: str, queue_names: list[str] | None, before: str, limit: int) -> Expect:
    """Strictly by the priority of queues, each as far as its slots and the pool's allow."""

    def expect(connection: apsw.Connection) -> Answer:
        rows = connection.execute(_POOL, (name,)).fetchall()
        if not rows or rows[0][1]:
            return ()
        pool_id, _, pool_limit = rows[0]
        queues = connection.execute(_QUEUES, (pool_id,)).fetchall()
        runs: dict[str, list[tuple[Any, ...]]] = {queue_id: [] for queue_id, *_ in queues}
        active = dict.fromkeys(runs, 0)
        for queue_id, *run in connection.execute(_RUNS):
            if queue_id in runs and run[2] != "SCHEDULED":
                active[queue_id] += 1
            elif queue_id in runs:
                runs[queue_id].append(tuple(run))
        found: list[str] = []
        for queue_id, queue_name, is_paused, queue_limit in queues:
            if is_paused or (queue_names and queue_name not in queue_names):
                continue
            due = [
                id_
                for at, _, _, id_, policy in sorted(runs[queue_id])
                if _is_due(at, before, policy)
            ]
            free = len(due) if queue_limit is None else max(0, queue_limit - active[queue_id])
            found += due[:free]
        free = len(found) if pool_limit is None else max(0, pool_limit - sum(active.values()))
        return tuple(found[: min(free, limit)])

    return expect


def _is_due(at: str, before: str, policy: str) -> bool:
    return at <= before and json.loads(policy).get("retry_type") != "in_process"


def of_deployments(deployment_ids: list[str], before: str, limit: int) -> Expect:
    """Whatever is due, whether its queue is paused or full."""

    def expect(connection: apsw.Connection) -> Answer:
        rows = connection.execute(_RUNS_OF_DEPLOYMENTS).fetchall()
        due = sorted(
            (at, seq, id_)
            for deployment_id, at, seq, id_ in rows
            if deployment_id in deployment_ids and at <= before
        )
        return tuple([id_ for _, _, id_ in due][:limit])

    return expect


_POOL = "SELECT id, is_paused, concurrency_limit FROM work_pool WHERE name = ?"
_QUEUES = (
    "SELECT id, name, is_paused, concurrency_limit FROM work_queue WHERE work_pool_id = ?"
    " ORDER BY priority, seq"
)
_RUNS = (
    "SELECT work_queue_id, next_scheduled_start_time, seq, state_type, id, empirical_policy"
    " FROM flow_run WHERE work_queue_id IS NOT NULL"
    " AND state_type IN ('SCHEDULED', 'PENDING', 'RUNNING')"
)
_RUNS_OF_DEPLOYMENTS = (
    "SELECT deployment_id, next_scheduled_start_time, seq, id FROM flow_run"
    " WHERE deployment_id IS NOT NULL AND state_type = 'SCHEDULED'"
)
