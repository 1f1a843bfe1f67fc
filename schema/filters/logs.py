"""The filter on log lines (alias `l`), as SQL and for live tails.

Source: `prefect.server.schemas.filters.LogFilter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta

from lictor.schema.events.codec import microseconds
from lictor.schema.filters.clauses import TRUE, Clause, all_of, any_of, is_in, is_null
from lictor.schema.filters.criteria import Criteria, CriteriaOp, Ids, Moments, Numbers
from lictor.schema.filters.text_query import QUERY_LENGTH_MAX, Matcher, conditions, parse

_HAYSTACK = "l.message || ' ' || (SELECT n.name FROM log_name n WHERE n.key = l.name)"
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


class RunIdsOrNull(Criteria):
    any_: list[UUID] | None = None
    is_null_: bool | None = None


class TextSearch(Criteria):
    query: Annotated[str, Meta(max_length=QUERY_LENGTH_MAX)]


class LogFilter(CriteriaOp):
    level: Numbers | None = None
    timestamp: Moments | None = None
    flow_run_id: Ids | None = None
    task_run_id: RunIdsOrNull | None = None
    text: TextSearch | None = None


class Line(Protocol):
    """What live matching looks at."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def message(self) -> str: ...
    @property
    def timestamp(self) -> datetime: ...
    @property
    def flow_run_id(self) -> UUID | None: ...
    @property
    def task_run_id(self) -> UUID | None: ...


RunKeys = Callable[[Sequence[UUID]], list[int]]
"""Looks up the keys under which runs are stored; unknown runs have none."""


def condition(criteria: LogFilter | None, run_keys: RunKeys) -> Clause:
    """What a line must fulfil."""
    if criteria is None:
        return TRUE
    parts = list(_clauses(criteria, run_keys))
    return any_of(parts) if criteria.operator == "or_" else all_of(parts)


def _clauses(criteria: LogFilter, run_keys: RunKeys) -> Iterator[Clause]:
    if (level := criteria.level) is not None:
        yield _between("l.level", level.ge_, level.le_)
    if (moment := criteria.timestamp) is not None:
        yield _between("l.timestamp", _us(moment.after_), _us(moment.before_))
    if (flow := criteria.flow_run_id) is not None:
        yield TRUE if flow.any_ is None else is_in("l.flow_run", run_keys(flow.any_))
    if (task := criteria.task_run_id) is not None:
        parts = [] if task.any_ is None else [is_in("l.task_run", run_keys(task.any_))]
        if task.is_null_ is not None:
            parts.append(is_null("l.task_run", task.is_null_))
        yield all_of(parts)
    if criteria.text is not None:
        for sql, args in conditions(parse(criteria.text.query), _HAYSTACK):
            yield Clause(sql, tuple(args))


def _between(column: str, least: int | None, most: int | None) -> Clause:
    """The limits are clamped to what the store can hold, which changes no comparison."""
    parts = []
    if least is not None and least > _INTEGER_MIN:
        never = least > _INTEGER_MAX
        parts.append(Clause("FALSE") if never else Clause(f"{column} >= ?", (least,)))
    if most is not None and most < _INTEGER_MAX:
        never = most < _INTEGER_MIN
        parts.append(Clause("FALSE") if never else Clause(f"{column} <= ?", (most,)))
    return all_of(parts)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(_aware(moment))


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class LiveFilter:
    """A filter, ready to be held against many lines that have just been stored.

    It means what `condition` means, save that letters beyond ASCII match in either case here too.
    """

    def __init__(self, criteria: LogFilter) -> None:
        self._tests = list(_tests(criteria))
        self._join: Callable[[Iterable[bool]], bool] = (
            any if criteria.operator == "or_" and self._tests else all
        )

    def matches(self, line: Line) -> bool:
        return self._join(test(line) for test in self._tests)


Test = Callable[[Line], bool]


def _tests(criteria: LogFilter) -> Iterator[Test]:
    if (level := criteria.level) is not None:
        least, most = level.ge_, level.le_
        yield (
            lambda line: (
                (least is None or line.level >= least) and (most is None or line.level <= most)
            )
        )
    if (moment := criteria.timestamp) is not None:
        yield _timestamp_test(moment)
    if (flow := criteria.flow_run_id) is not None:
        flows = None if flow.any_ is None else frozenset(flow.any_)
        yield lambda line: flows is None or line.flow_run_id in flows
    if (task := criteria.task_run_id) is not None:
        yield _task_run_test(task)
    if criteria.text is not None:
        yield from _text_tests(criteria.text.query)


def _timestamp_test(criteria: Moments) -> Test:
    since = None if criteria.after_ is None else _aware(criteria.after_)
    until = None if criteria.before_ is None else _aware(criteria.before_)

    def test(line: Line) -> bool:
        moment = _aware(line.timestamp)
        return (since is None or moment >= since) and (until is None or moment <= until)

    return test


def _task_run_test(criteria: RunIdsOrNull) -> Test:
    tasks = None if criteria.any_ is None else frozenset(criteria.any_)
    wanted = criteria.is_null_
    return lambda line: (
        (tasks is None or line.task_run_id in tasks)
        and (wanted is None or (line.task_run_id is None) is wanted)
    )


def _text_tests(query: str) -> Iterator[Test]:
    """One test for each group of terms, as `conditions` has them."""
    parsed = parse(query)
    for group in ("include", "exclude", "required"):
        terms = getattr(parsed, group)
        if terms:
            yield _text_test(Matcher(type(parsed)(**{group: terms})))


def _text_test(matcher: Matcher) -> Test:
    return lambda line: matcher.matches(f"{line.message} {line.name}")
