"""The transaction every table function receives: the subset SQLite and Postgres share.

SQL uses `?` placeholders, `ON CONFLICT`, `RETURNING` and CTEs. Table functions take `tx` first;
they never begin, commit, sleep or know which backend runs them. Rows are tuples in column order;
JSON is text, moments are canonical text (`schema/times.py`), booleans are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
Value = str | int | float | bytes | None
Row = tuple[Value, ...]
"""One row. Callers know their columns and narrow with `cast` at the place that names them."""


class ReadTx(Protocol):
    """A consistent view to read from."""

    def one(self, sql: str, args: Sequence[Value] = ()) -> tuple | None:  # type: ignore[type-arg]
        """The first row, or None."""
        ...

    def all(self, sql: str, args: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        """Every row. The SQL carries its own LIMIT: nothing unbounded is read."""
        ...


class Tx(ReadTx, Protocol):
    """A write transaction, shared by all jobs of one group."""

    def run(self, sql: str, args: Sequence[Value] = ()) -> int:
        """Execute one statement; the number of rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Execute one statement for each row of arguments."""
        ...

    def attempt(self, job: Callable[[], T]) -> T:
        """What `job` gives; when it raises, what it did in this transaction is undone, alone."""
        ...

    def publish(self, item: object) -> None:
        """Hand `item` to the subscribers of its type once this transaction is on disk.

        Items of a job that is rolled back are forgotten with it. Order is commit order.
        """
        ...
