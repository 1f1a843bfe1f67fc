"""The filter engine: from the declaration of a filter class to its SQL condition.

A filter class is declared once (`flows.py`, `flow_runs.py`, …): its fields are the keys of the
grammar, their types the criteria a key takes, and the annotation of each names the target they are
tested against. msgspec decodes and validates requests by that class; `condition` compiles what was
sent. A `Join` says how another kind hangs on a row, and so what a filter on that kind means for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import get_type_hints

import msgspec

from lictor.schema.filters.clauses import FALSE, TRUE, Clause, all_of, any_of, is_in, is_null
from lictor.schema.filters.criteria import Criteria, CriteriaOp
from lictor.schema.filters.targets import Ignored, Target

Filters = Mapping[str, CriteriaOp]
"""The filters a request carries, by kind; an absent one restricts nothing."""


class Nested(msgspec.Struct, frozen=True):
    """Criteria that are keys with targets of their own; those that ask for nothing are dropped."""

    def clauses(self, criteria: Criteria) -> Iterator[Clause]:
        for key, target in _plan(type(criteria)):
            asked = getattr(criteria, key)
            if asked is not None and (clause := _of_key(target, asked)) != TRUE:
                yield clause


class Join(msgspec.Struct, frozen=True):
    """How rows of `kind` hang on a row: `outer` (a column of it) equals `inner` (one of theirs).

    `table` is theirs, with its alias; None while the database has no such table. `children` hang on
    the related row, so that a filter on them asks about the same related row. `small`: the table is
    short, and its matches are best gathered first. `enforced`: a foreign key sees to it that the
    row of a set `outer` exists. `required`: `outer` is never null.
    """

    kind: str
    table: str | None
    outer: str
    inner: str
    children: tuple[Join, ...] = ()
    small: bool = False
    enforced: bool = False
    required: bool = False


def condition(kind: str, joins: Iterable[Join], filters: Filters) -> Clause:
    """What a row of `kind` must fulfil for all of `filters`."""
    own = filters.get(kind)
    parts = [] if own is None else [of_filter(own)]
    parts += [_related(join, filters) for join in joins if _is_asked(join, filters)]
    return all_of(parts)


def of_filter(criteria: CriteriaOp) -> Clause:
    """What a row must fulfil for a filter on its own kind."""
    parts = []
    for key, target in _plan(type(criteria)):
        asked = getattr(criteria, key)
        if asked is not None:
            parts.append(_of_key(target, asked))
    return any_of(parts) if criteria.operator == "or_" else all_of(parts)


def only_ids(criteria: CriteriaOp | None) -> list[str] | None:
    """The ids a filter names when `id.any_` is all it asks for; else None."""
    return named_ids(criteria) if asked_keys(criteria) == {"id"} else None


def asked_keys(criteria: CriteriaOp | None) -> set[str]:
    """The keys of a filter that are there; none for no filter."""
    if criteria is None:
        return set()
    return {key for key, _ in _plan(type(criteria)) if getattr(criteria, key) is not None}


def named_ids(criteria: CriteriaOp | None) -> list[str] | None:
    """The ids outside of which nothing can match; None when the filter does not say."""
    ids = getattr(criteria, "id", None)
    if criteria is None or ids is None or ids.any_ is None or criteria.operator == "or_":
        return None
    if getattr(ids, "not_any_", None):
        return None
    return [str(id_) for id_ in ids.any_]


def _of_key(target: Target, criteria: Criteria) -> Clause:
    parts = list(target.clauses(criteria))
    if isinstance(criteria, CriteriaOp) and criteria.operator == "or_":
        return any_of(parts)
    return all_of(parts)


def _is_asked(join: Join, filters: Filters) -> bool:
    return join.kind in filters or any(_is_asked(child, filters) for child in join.children)


def _related(join: Join, filters: Filters) -> Clause:
    """A related row exists that fulfils its filter and those of its children."""
    own = filters.get(join.kind)
    asked = [child for child in join.children if _is_asked(child, filters)]
    inner = all_of(
        [TRUE if own is None else of_filter(own), *(_related(child, filters) for child in asked)]
    )
    if inner == FALSE or join.table is None:
        return FALSE
    if join.enforced and inner == TRUE:
        return TRUE if join.required else is_null(join.outer, False)
    if join.enforced and not asked and (ids := only_ids(own)) is not None:
        return is_in(join.outer, ids)
    where = "" if inner == TRUE else f" AND {inner.sql}"
    if join.small or named_ids(own) is not None:
        where = where.replace(" AND ", " WHERE ", 1)
        sql = f"{join.outer} IN (SELECT {join.inner} FROM {join.table}{where})"
    else:
        on = f"{join.inner} = {join.outer}"
        sql = f"EXISTS (SELECT 1 FROM {join.table} WHERE {on}{where})"
    return Clause(sql, inner.args)


@cache
def _plan(declaration: type[Criteria]) -> tuple[tuple[str, Target], ...]:
    """Each key of a filter class with its target, in the order of declaration."""
    found = []
    for key, hint in get_type_hints(declaration, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if not isinstance(mark, Ignored):
                found.append((key, mark))
    return tuple(found)
