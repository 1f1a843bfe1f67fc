"""How the flow runs of a page or a count are found, so that it takes as long at any size.

Theory. A page is fast when its rows can be walked in the order of its sort, or when so few match
that sorting them is nothing. Which of the two holds depends on the data; the tally knows exactly
how many runs a flow or a state has, and a capped count tells whether a tag is rare. So:

- a rare flow, deployment or tag becomes the set that is searched (`narrow`);
- a list of states or flows becomes branches, each walked in order through an index that begins with
  that column, merged until the page is full;
- everything else is a walk along the index of the sort, testing the rows it meets. The statistics
  of the migration keep the planner from sorting instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from lictor.schema.backends.tx import ReadTx, Value
from lictor.schema.filters import joins
from lictor.schema.filters.clauses import FALSE, TRUE, Clause, all_of, is_in
from lictor.schema.filters.criteria import IdsNot
from lictor.schema.filters.engine import (
    Filters,
    asked_keys,
    condition,
    named_ids,
    of_filter,
    only_ids,
)
from lictor.schema.filters.flow_runs import STARTED, FlowRunFilter
from lictor.schema.filters.flows import FlowFilter
from lictor.schema.filters.sorts import FLOW_RUN_ORDER, FlowRunSort

SMALL = 1_000
"""So many rows are read and sorted in a millisecond or two."""
BRANCHES_MAX = 20
OFFSET_WALKED = 200
"""Rows a walk may skip with their states joined; beyond it, joins wait until the page is known."""

_TALLY = (
    "(SELECT flow_id, nullif(state_type, '') AS state_type, nullif(state_name, '') AS state_name,"
    " runs FROM flow_run_tally) fr"
)
"""The tally under the alias of flow runs: conditions on flow and state fit both."""

_SORT_KEYS: dict[FlowRunSort, tuple[str, str]] = {
    "START_TIME_ASC": (STARTED, ""),
    "START_TIME_DESC": (STARTED, " DESC"),
    "EXPECTED_START_TIME_ASC": ("fr.expected_start_time", ""),
    "EXPECTED_START_TIME_DESC": ("fr.expected_start_time", " DESC"),
}
"""The sorts that branches can be merged in: their expression and direction."""

_UNWALKED = {"END_TIME_DESC", "NEXT_SCHEDULED_START_TIME_ASC"}
"""The sorts that no index serves."""


class Path(NamedTuple):
    """The way to a page: what its rows fulfil, and how to go about it."""

    where: Clause
    is_narrow: bool = False
    branches: tuple[Clause, ...] = ()


def rows(
    tx: ReadTx,
    filters: Filters,
    sort: FlowRunSort,
    columns: str,
    source: str,
    limit: int,
    offset: int,
) -> list[tuple[Any, ...]]:
    """One page of the runs that match: `columns` of `source`, which has them under `fr`."""
    path = _path(tx, filters, sort)
    if path.where == FALSE or limit == 0:
        return []
    order = FLOW_RUN_ORDER[sort]
    if len(path.branches) > 1:
        page = _merged(path, sort)
    elif path.is_narrow or offset > OFFSET_WALKED or sort in _UNWALKED:
        page = Clause(
            f"SELECT fr.seq FROM flow_run fr WHERE {path.where.sql}"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            path.where.args,
        )
    else:
        return tx.all(
            f"SELECT {columns} FROM {source} WHERE {path.where.sql}"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            (*path.where.args, limit, offset),
        )
    return tx.all(
        f"SELECT {columns} FROM {source} WHERE fr.seq IN ({page.sql}) ORDER BY {order}",
        (*page.args, limit, offset),
    )


def count(tx: ReadTx, filters: Filters) -> int:
    """How many runs match: from the tally, if flows and states are all that is asked about."""
    filters = _with_flow_ids(tx, filters)
    where = condition("flow_runs", joins.OF_FLOW_RUNS, filters)
    if filters.keys() <= {"flows", "flow_runs"} and asked_keys(filters.get("flow_runs")) <= {
        "state"
    }:
        return _number(tx, f"SELECT sum(fr.runs) FROM {_TALLY} WHERE {where.sql}", where.args)
    if (narrow := _narrow(tx, filters)) is not None:
        where = all_of([narrow, where])
    return _number(tx, f"SELECT count(*) FROM flow_run fr WHERE {where.sql}", where.args)


def _path(tx: ReadTx, filters: Filters, sort: FlowRunSort) -> Path:
    filters = _with_flow_ids(tx, filters)
    where = condition("flow_runs", joins.OF_FLOW_RUNS, filters)
    if where in (TRUE, FALSE):
        return Path(where)
    types = _state_types(tx, filters, sort)
    if types == []:
        return Path(FALSE)
    if (narrow := _narrow(tx, filters)) is not None:
        return Path(all_of([narrow, where]), is_narrow=True)
    return Path(where, branches=_branches(filters, sort, types))


def _with_flow_ids(tx: ReadTx, filters: Filters) -> Filters:
    """A filter on flows that few fulfil, turned into their ids."""
    own = filters.get("flows")
    if own is None or only_ids(own) is not None:
        return filters
    where = of_filter(own)
    if where in (TRUE, FALSE):
        return filters
    found = tx.all(
        f"SELECT f.id FROM flow f WHERE {where.sql} LIMIT ?", (*where.args, BRANCHES_MAX + 1)
    )
    if len(found) > BRANCHES_MAX:
        return filters
    return {**filters, "flows": FlowFilter(id=IdsNot(any_=[UUID(id_) for (id_,) in found]))}


def _state_types(tx: ReadTx, filters: Filters, sort: FlowRunSort) -> list[str | None] | None:
    """The state types of runs with the flows and states asked for; None when branches are not
    made of them.
    """
    runs = _conjunction(filters)
    state = None if runs is None else runs.state
    by_start = "flows" in filters and sort in _SORT_KEYS and _SORT_KEYS[sort][0] == STARTED
    if state is None and not by_start:
        return None
    asked = {"flows": filters["flows"]} if "flows" in filters else {}
    if state is not None:
        asked["flow_runs"] = FlowRunFilter(state=state)
    where = condition("flow_runs", joins.OF_FLOW_RUNS, asked)
    found = tx.all(f"SELECT DISTINCT fr.state_type FROM {_TALLY} WHERE {where.sql}", where.args)
    return [type_ for (type_,) in found]


def _narrow(tx: ReadTx, filters: Filters) -> Clause | None:
    """A small set of runs outside of which none can match; None when there is no such set."""
    if (ids := only_ids(filters.get("flows"))) is not None:
        among = is_in("flow_id", ids)
        total = f"SELECT sum(runs) FROM flow_run_tally WHERE {among.sql}"
        if among == FALSE or _number(tx, total, among.args) <= SMALL:
            return _set("flow_run", among)
    for ids in _deployment_ids(filters):
        among = is_in("deployment_id", ids)
        if _is_small(tx, "flow_run", among):
            return _set("flow_run", among)
    runs = _conjunction(filters)
    if runs is None:
        return None
    tags = runs.tags
    if tags is not None and tags.operator == "and_":
        for choice in [[tag] for tag in tags.all_ or ()] + ([tags.any_] if tags.any_ else []):
            among = is_in("tag", choice)
            if _is_small(tx, "flow_run_tag", among):
                return _set("flow_run_tag", among)
    return None


def _deployment_ids(filters: Filters) -> Iterator[list[str]]:
    """Lists of deployments; a run that matches belongs to one of each list."""
    if ids := named_ids(filters.get("deployments")):
        yield ids
    runs = _conjunction(filters)
    asked = None if runs is None else runs.deployment_id
    if asked is not None and asked.any_ and asked.operator == "and_":
        yield [str(id_) for id_ in asked.any_]


def _conjunction(filters: Filters) -> FlowRunFilter | None:
    """The filter on runs, if all of its criteria must hold."""
    own = filters.get("flow_runs")
    return own if isinstance(own, FlowRunFilter) and own.operator == "and_" else None


def _is_small(tx: ReadTx, table: str, among: Clause) -> bool:
    capped = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {among.sql} LIMIT ?)"
    return _number(tx, capped, (*among.args, SMALL + 1)) <= SMALL


def _set(table: str, among: Clause) -> Clause:
    return Clause(f"fr.seq IN (SELECT seq FROM {table} WHERE {among.sql})", among.args)


def _branches(
    filters: Filters, sort: FlowRunSort, types: Sequence[str | None] | None
) -> tuple[Clause, ...]:
    """Disjoint conditions that hold all matches, each the head of an index in the sort's order."""
    if sort not in _SORT_KEYS:
        return ()
    if _SORT_KEYS[sort][0] != STARTED:
        ids = only_ids(filters.get("flows"))
        if ids is not None and len(ids) <= BRANCHES_MAX:
            return tuple(Clause("fr.flow_id = ?", (id_,)) for id_ in dict.fromkeys(ids))
    return tuple(
        Clause("fr.state_type IS NULL") if type_ is None else Clause("fr.state_type = ?", (type_,))
        for type_ in types or ()
    )


def _merged(path: Path, sort: FlowRunSort) -> Clause:
    """The seqs of a page, from branches walked side by side; limit and offset are to be added."""
    key, direction = _SORT_KEYS[sort]
    parts = [all_of([branch, path.where]) for branch in path.branches]
    union = " UNION ALL ".join(
        [
            f"SELECT fr.seq AS seq, {key} AS sort_key FROM flow_run fr WHERE {part.sql}"
            for part in parts
        ]
    )
    return Clause(
        f"SELECT seq FROM ({union} ORDER BY sort_key{direction}, seq{direction} LIMIT ? OFFSET ?)",
        tuple(arg for part in parts for arg in part.args),
    )


def _number(tx: ReadTx, sql: str, args: Sequence[Value]) -> int:
    row = tx.one(sql, args)
    return 0 if row is None or row[0] is None else int(row[0])
