"""Pieces of a WHERE: SQL text with its arguments, and how pieces are put together.

`TRUE` and `FALSE` are folded away wherever they decide nothing, so that the planner sees only what
restricts. The SQL is what SQLite and Postgres share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lictor.schema.backends.tx import Value
from lictor.schema.errors import Invalid

ARGUMENTS_MAX = 10_000
"""Values in all filters of one request; SQLite binds 32 766 at most."""
CHAIN_MAX = 200
"""Pieces in one row of ANDs or ORs. Further ones are nested: each piece of a row is one deeper than
the one before, and SQLite refuses expressions that are 1 000 deep."""
PATTERN_BYTES_MAX = 10_000
"""Bytes of a `like_` text; SQLite refuses patterns over 50 000."""


class Clause(NamedTuple):
    """A boolean SQL expression and the arguments of its placeholders, in order."""

    sql: str
    args: tuple[Value, ...] = ()


TRUE = Clause("TRUE")
FALSE = Clause("FALSE")


def all_of(clauses: Iterable[Clause]) -> Clause:
    """Every clause holds; TRUE for none."""
    return _combined(clauses, " AND ", neutral=TRUE, deciding=FALSE)


def any_of(clauses: Iterable[Clause]) -> Clause:
    """At least one clause holds; TRUE for none, because no criterion restricts nothing."""
    kept = list(clauses)
    return _combined(kept, " OR ", neutral=FALSE, deciding=TRUE) if kept else TRUE


def _combined(clauses: Iterable[Clause], word: str, *, neutral: Clause, deciding: Clause) -> Clause:
    kept = []
    for clause in clauses:
        if clause.sql == deciding.sql:
            return deciding
        if clause.sql != neutral.sql:
            kept.append(clause)
    if not kept:
        return neutral
    if len(kept) == 1:
        return kept[0]
    parts = [clause.sql for clause in kept]
    while len(parts) > CHAIN_MAX:
        parts = [
            f"({word.join(parts[start : start + CHAIN_MAX])})"
            for start in range(0, len(parts), CHAIN_MAX)
        ]
    return Clause(f"({word.join(parts)})", tuple(arg for clause in kept for arg in clause.args))


def is_in(expression: str, values: Sequence[Value]) -> Clause:
    """`expression` equals one of `values`; FALSE for none."""
    distinct = tuple(dict.fromkeys(values))
    if not distinct:
        return FALSE
    if len(distinct) == 1:
        return Clause(f"{expression} = ?", distinct)
    check_size(len(distinct))
    return Clause(f"{expression} IN ({placeholders(len(distinct))})", distinct)


def is_not_in(expression: str, values: Sequence[Value]) -> Clause:
    """`expression` is something, and none of `values`; TRUE for no values."""
    distinct = tuple(dict.fromkeys(values))
    if not distinct:
        return TRUE
    check_size(len(distinct))
    return Clause(f"{expression} NOT IN ({placeholders(len(distinct))})", distinct)


def is_null(expression: str, wanted: bool) -> Clause:
    """`expression` is null, or is not."""
    return Clause(f"{expression} IS NULL" if wanted else f"{expression} IS NOT NULL")


def contains(expression: str, text: str) -> Clause:
    """`expression` contains `text`, whatever the case; `%` and `_` in it are wildcards."""
    if not text:
        return TRUE
    return Clause(f"lower({expression}) LIKE lower(?)", (f"%{checked_pattern(text)}%",))


def starts_with(expression: str, texts: Sequence[str]) -> Clause:
    """`expression` begins with one of `texts`, whatever the case; TRUE for none, unlike `is_in`."""
    return any_of(
        Clause(f"lower({expression}) LIKE lower(?)", (f"{checked_pattern(text)}%",))
        for text in texts
    )


def placeholders(count: int) -> str:
    """`count` question marks with commas between them."""
    return ("?," * count)[:-1]


def check_size(arguments: int) -> None:
    """Raises `Invalid` when a request carries more values than one statement may."""
    if arguments > ARGUMENTS_MAX:
        raise Invalid(f"Invalid filter: more than {ARGUMENTS_MAX} values.")


def checked_pattern(text: str) -> str:
    """`text`; raises `Invalid` when it is longer than a pattern may be."""
    if len(text.encode()) > PATTERN_BYTES_MAX:
        raise Invalid(f"Invalid filter: a pattern is longer than {PATTERN_BYTES_MAX} bytes.")
    return text
