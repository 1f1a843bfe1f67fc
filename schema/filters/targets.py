"""What a key of a filter is tested against, and the SQL of each operator on it.

A filter class names the target of each key in its annotation (`Annotated[Ids | None, Column(…)]`);
the engine hands the target the criteria it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from lictor.schema import times
from lictor.schema.backends.tx import Value
from lictor.schema.filters import clauses
from lictor.schema.filters.clauses import FALSE, Clause
from lictor.schema.filters.criteria import Criteria, FlowRunIdOp

LATEST = datetime.max.replace(tzinfo=UTC)
EARLIEST = datetime.min.replace(tzinfo=UTC)
TAGS_ASKED_MAX = 20
"""Tags that are asked for one by one, each from the index; more are counted."""


class Target(Protocol):
    """Turns the criteria of one key into clauses, one for each criterion that is set."""

    def clauses(self, criteria: Any) -> Iterator[Clause]: ...


class Column(msgspec.Struct, frozen=True):
    """One SQL expression. `null` is what `is_null_` looks at, where that is another one."""

    sql: str
    null: str | None = None

    def clauses(self, criteria: Criteria) -> Iterator[Clause]:
        for operator in criteria.__struct_fields__:
            if operator != "operator" and (asked := getattr(criteria, operator)) is not None:
                yield self._clause(operator, asked)

    def _clause(self, operator: str, asked: Any) -> Clause:
        sql = self.sql
        match operator:
            case "any_":
                return clauses.is_in(sql, values(asked))
            case "not_any_":
                return clauses.is_not_in(sql, values(asked))
            case "like_":
                return clauses.contains(sql, asked)
            case "startswith_":
                return clauses.starts_with(sql, asked)
            case "is_null_":
                return clauses.is_null(self.null or sql, asked)
            case "exists_":
                return clauses.is_null(self.null or sql, not asked)
            case "eq_":
                return Clause(f"{sql} = ?", (int(asked),))
            case "before_" | "le_":
                return Clause(f"{sql} <= ?", (value(asked),))
            case "after_" | "ge_":
                return Clause(f"{sql} >= ?", (value(asked),))
        raise AssertionError(f"a column has no operator {operator}")


class Tags(msgspec.Struct, frozen=True):
    """The tags of `alias`, in its column and in the table `index` of (tag, seq)."""

    alias: str
    index: str

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        if criteria.all_:
            yield self.has_all(list(dict.fromkeys(criteria.all_)))
        if (any_ := getattr(criteria, "any_", None)) is not None:
            yield self.has(any_)
        if criteria.is_null_ is not None:
            yield Clause(f"{self.alias}.tags {'=' if criteria.is_null_ else '<>'} '[]'")

    def has_all(self, tags: list[str]) -> Clause:
        """Each of `tags`, which differ, is there."""
        if len(tags) <= TAGS_ASKED_MAX:
            return clauses.all_of(self.has([tag]) for tag in tags)
        among = clauses.is_in("tagged.tag", tags)
        return Clause(
            f"(SELECT count(*) FROM {self.index} tagged"
            f" WHERE {among.sql} AND tagged.seq = {self.alias}.seq) = ?",
            (*among.args, len(tags)),
        )

    def has(self, tags: list[str]) -> Clause:
        """At least one of `tags` is there."""
        among = clauses.is_in("tagged.tag", tags)
        if among == FALSE:
            return FALSE
        return Clause(
            f"EXISTS (SELECT 1 FROM {self.index} tagged"
            f" WHERE {among.sql} AND tagged.seq = {self.alias}.seq)",
            among.args,
        )


class Creator(msgspec.Struct, frozen=True):
    """A JSON column that says who made the row: `{"id", "type", …}`."""

    sql: str

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        if criteria.id_ is not None:
            yield clauses.is_in(f"{self.sql} ->> 'id'", values(criteria.id_))
        if criteria.type_ is not None:
            yield clauses.is_in(f"{self.sql} ->> 'type'", criteria.type_)
        if criteria.is_null_ is not None:
            yield clauses.is_null(self.sql, criteria.is_null_)


class ParentFlowRun(msgspec.Struct, frozen=True):
    """The flow run of the task run that stands for this run in its parent."""

    sql: str

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        if criteria.any_ is not None:
            among = clauses.is_in("parent.flow_run_id", values(criteria.any_))
            yield FALSE if among == FALSE else Clause(
                f"{self.sql} IN (SELECT parent.id FROM task_run parent WHERE {among.sql})",
                among.args,
            )


class FlowRunOfTask(msgspec.Struct, frozen=True):
    """The flow run a task run belongs to, with the defaults of `FlowRunIdOp`."""

    sql: str

    def clauses(self, criteria: FlowRunIdOp) -> Iterator[Clause]:
        if criteria.is_null_:
            yield clauses.is_null(self.sql, True)
        elif criteria.any_ is not None:
            yield clauses.is_in(self.sql, values(criteria.any_))
        elif criteria.is_null_ is False:
            yield clauses.is_null(self.sql, False)


class RelatedRow(msgspec.Struct, frozen=True):
    """Whether a row of `table` (its alias included) fulfils `on`: `exists_`, or not `is_null_`."""

    table: str
    on: str

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        exists = getattr(criteria, "exists_", None)
        if (is_null := getattr(criteria, "is_null_", None)) is not None:
            exists = not is_null
        if exists is not None:
            sql = f"EXISTS (SELECT 1 FROM {self.table} WHERE {self.on})"
            yield Clause(sql if exists else f"NOT {sql}")


class Either(msgspec.Struct, frozen=True):
    """A text that one of several expressions contains."""

    sql: tuple[str, ...]

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        if criteria.like_:
            yield clauses.any_of(clauses.contains(sql, criteria.like_) for sql in self.sql)


class Ignored(msgspec.Struct, frozen=True):
    """A key that is taken and has no effect."""

    def clauses(self, criteria: Any) -> Iterator[Clause]:
        return iter(())


def value(asked: Any) -> Value:
    """A criterion's value as it is stored: canonical text for moments and ids."""
    if isinstance(asked, datetime):
        return moment(asked)
    if isinstance(asked, (int, float, str)):
        return asked
    return str(asked)


def values(asked: list[Any]) -> list[Value]:
    """Values as they are stored."""
    return [item if type(item) is str else str(item) for item in asked]


def moment(asked: datetime) -> times.Timestamp:
    """The canonical text of `asked`; beyond the calendar's ends (in UTC), the nearer end."""
    try:
        return times.text(asked)
    except OverflowError:
        offset = asked.utcoffset() or timedelta(0)
        return times.text(EARLIEST if offset > timedelta(0) else LATEST)
