"""Searching stored events: a filter becomes SQL as far as SQL can say it, and a predicate the rest.

Names, ids, id prefixes and times are exact in SQL. Labels, roles and text are inside bodies: rows
that pass the SQL are decoded and put to the predicate, so a search for labels alone reads every
event of its time; the readers' time limit bounds it. Pages follow a cursor (occurred, seq), in
which seq breaks ties: they are stable while events arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from lictor.schema.backends.tx import ReadTx, Value
from lictor.schema.events.codec import pack_moment
from lictor.schema.events.event import Event
from lictor.schema.events.filters import EventFilter, Interval, NameFilter, compile_filter
from lictor.schema.tables.events import COLUMNS, FROM, Rows

CHUNK_ROWS = 256
"""Rows read at a time where the predicate decides."""

_encode = msgspec.json.Encoder().encode


class Cursor(NamedTuple):
    """The last event of a page: microseconds since 1970, and its place in commit order."""

    occurred: int
    seq: int


class Page(NamedTuple):
    """Events in the order asked for, how many match in all, and where the next page begins."""

    events: list[Event]
    total: int
    cursor: Cursor | None


class Search:
    """A filter over an interval, made ready for SQL. `is_exact`: the SQL says all of it.

    `seq_max`: only events committed up to this place.
    """

    def __init__(
        self,
        tx: ReadTx,
        filter_: EventFilter,
        times_: Interval,
        seq_max: int | None = None,
    ) -> None:
        self.matches = compile_filter(filter_, times_).matches
        self.descending = filter_.order == "DESC"
        self.distinct = filter_.resource is not None and filter_.resource.distinct
        self.is_exact = filter_.text is None
        self._tx = tx
        self._rows = Rows()
        self._since = pack_moment(times_.since)
        self._until = pack_moment(times_.until)
        self._driver: tuple[int, int | None] | None = None
        """A resource key whose events are the candidates, and its `is_related` if that is fixed."""
        self._clauses: list[str] = []
        self._args: list[Value] = []
        self._add_names(filter_.event)
        self._add_resources(filter_)
        if filter_.id is not None and filter_.id.id:
            ids = _texts([id_.hex for id_ in filter_.id.id])
            self._add("e.id IN (SELECT unhex(value) FROM json_each(?))", ids)
        if seq_max is not None:
            self._add("e.seq <= ?", seq_max)

    # Building.

    def _add(self, clause: str, *args: Value) -> None:
        self._clauses.append(clause)
        self._args.extend(args)

    def _add_names(self, filter_: NameFilter | None) -> None:
        if filter_ is None:
            return
        select = "(SELECT key FROM event_name WHERE"
        if filter_.name:
            listed = "name IN (SELECT value FROM json_each(?)))"
            self._add(f"e.name IN {select} {listed}", _texts(filter_.name))
        if filter_.exclude_name:
            listed = "name IN (SELECT value FROM json_each(?)))"
            self._add(f"e.name NOT IN {select} {listed}", _texts(filter_.exclude_name))
        if filter_.prefix:
            range_, args = _starts("name", filter_.prefix)
            self._add(f"e.name IN {select} {range_})", *args)
        if filter_.exclude_prefix:
            range_, args = _starts("name", filter_.exclude_prefix)
            self._add(f"e.name NOT IN {select} {range_})", *args)

    def _add_resources(self, filter_: EventFilter) -> None:
        if (own := filter_.resource) is not None:
            self._add_involved(own.id, own.id_prefix, 0)
            self.is_exact &= not own.labels
        for any_ in filter_.any_resource_filters():
            self._add_involved(any_.id, any_.id_prefix, None)
            self.is_exact &= not any_.labels
        for related in filter_.related_filters():
            self._add_involved(related.id, None, 1)
            if related.resources_in_roles:
                self._add_involved([id_ for id_, _ in related.resources_in_roles], None, 1)
            self.is_exact &= not (related.labels or related.role or related.resources_in_roles)

    def _add_involved(
        self, ids: list[str] | None, prefixes: list[str] | None, is_related: int | None
    ) -> None:
        """Only events that involve a resource with one of `ids` and one of `prefixes`."""
        if ids and not prefixes:
            self._add_known(ids, is_related)
        elif prefixes:
            range_, args = _starts("r.id", prefixes)
            if ids:
                range_ = f"{range_} AND r.id IN (SELECT value FROM json_each(?))"
                args.append(_texts(ids))
            keys = f"SELECT key FROM event_resource r WHERE {range_}"
            if is_related == 0:
                self._add(f"e.resource IN ({keys})", *args)
            else:
                self._add_subquery(keys, args, is_related)

    def _add_known(self, ids: list[str], is_related: int | None) -> None:
        found = self._tx.all(
            "SELECT r.key FROM json_each(?) j JOIN event_resource r ON r.id = j.value",
            (_texts(list(dict.fromkeys(ids))),),
        )
        keys: list[int] = [key for (key,) in found]
        if not keys:
            self._add("0")
        elif len(keys) == 1 and self._driver is None:
            self._driver = keys[0], is_related
        elif is_related == 0:
            self._add("e.resource IN (SELECT value FROM json_each(?))", _texts(keys))
        else:
            self._add_subquery("SELECT value FROM json_each(?)", [_texts(keys)], is_related)

    def _add_subquery(self, keys: str, args: list[Value], is_related: int | None) -> None:
        side = "" if is_related is None else f" AND v.is_related = {is_related}"
        self._add(
            f"e.seq IN (SELECT v.seq FROM event_involved v WHERE v.resource IN ({keys})"
            f" AND v.occurred BETWEEN ? AND ?{side})",
            *args, self._since, self._until,
        )  # fmt: skip

    # Reading.

    def matching(
        self, cursor: Cursor | None = None, *, needs_event: bool = True
    ) -> tuple[str, str, list[Value]]:
        """The alias whose times count, the tables with all conditions, and the arguments.

        `needs_event`: columns of the table `event`, alias `e`, are asked for.
        """
        alias, tables, clauses, args = "e", "event e", list(self._clauses), list(self._args)
        if self._driver is not None:
            key, is_related = self._driver
            alias, tables = "v", "event_involved v"
            if needs_event or clauses:
                tables += " JOIN event e ON e.seq = v.seq"
            clauses.append("v.resource = ?")
            args.append(key)
            if is_related is None:
                # The same resource may be both: then its primary row speaks for the event.
                clauses.append(
                    "(v.is_related = 0 OR NOT EXISTS (SELECT 1 FROM event_involved w WHERE"
                    " w.resource = v.resource AND w.occurred = v.occurred AND w.seq = v.seq"
                    " AND w.is_related = 0))"
                )
            else:
                clauses.append(f"v.is_related = {is_related}")
        clauses.append(f"{alias}.occurred BETWEEN ? AND ?")
        args += (self._since, self._until)
        if cursor is not None:
            sign = "<" if self.descending else ">"
            clauses.append(f"({alias}.occurred, {alias}.seq) {sign} (?, ?)")
            args += cursor
        return alias, f"{tables} WHERE {' AND '.join(clauses)}", args

    def rows_sql(self, cursor: Cursor | None, limit: int) -> tuple[str, list[Value]]:
        """The statement for the first `limit` candidates behind `cursor`, in order."""
        alias, matching, args = self.matching(cursor, needs_event=False)
        order = "DESC" if self.descending else "ASC"
        inner = (
            f"SELECT {alias}.seq FROM {matching}"
            f" ORDER BY {alias}.occurred {order}, {alias}.seq {order} LIMIT ?"
        )
        outer = (
            f"SELECT {COLUMNS}, e.resource FROM {FROM} WHERE e.seq IN ({inner})"
            f" ORDER BY e.occurred {order}, e.seq {order}"
        )
        return outer, [*args, limit]

    def count(self) -> int:
        """How many events match; with `distinct`, how many resources have such events."""
        if not self.is_exact:
            return sum(1 for _ in self.candidates())
        _, matching, args = self.matching(needs_event=self.distinct)
        what = "count(DISTINCT e.resource)" if self.distinct else "count(*)"
        row = self._tx.one(f"SELECT {what} FROM {matching}", args)
        assert row is not None
        total: int = row[0]
        return total

    def candidates(self, cursor: Cursor | None = None) -> Iterator[tuple[Cursor, Event]]:
        """Every matching event behind `cursor`, in order.

        With `distinct`, of each resource the first of all its events alone, whatever the cursor.
        """
        seen: set[int] = set()
        place = None if self.distinct else cursor
        while True:
            chunk = self._tx.all(*self.rows_sql(place, CHUNK_ROWS))
            for row in chunk:
                place = Cursor(row[2], row[0])
                if self.distinct and row[-1] in seen:
                    continue
                event = self._rows.event(row[:-1]).event
                if not self.is_exact and not self.matches(event):
                    continue
                seen.add(row[-1])
                if self.distinct and cursor is not None and not self._is_behind(place, cursor):
                    continue
                yield place, event
            if len(chunk) < CHUNK_ROWS:
                return

    def _is_behind(self, place: Cursor, cursor: Cursor) -> bool:
        return place < cursor if self.descending else place > cursor

    def page(self, limit: int, cursor: Cursor | None = None) -> list[tuple[Cursor, Event]]:
        """The first `limit` matching events behind `cursor`."""
        if self.is_exact and not self.distinct:
            rows = self._tx.all(*self.rows_sql(cursor, limit))
            return [(Cursor(row[2], row[0]), self._rows.event(row[:-1]).event) for row in rows]
        found: list[tuple[Cursor, Event]] = []
        if limit == 0:
            return found
        for item in self.candidates(cursor):
            found.append(item)
            if len(found) == limit:
                break
        return found


def read_page(
    tx: ReadTx,
    filter_: EventFilter,
    times_: Interval,
    limit: int,
    cursor: Cursor | None = None,
    total: int | None = None,
) -> Page:
    """One page of at most `limit` events; the matching ones are counted unless `total` is known."""
    search = Search(tx, filter_, times_)
    found = search.page(limit, cursor)
    if total is None:
        total = search.count()
    last = found[-1][0] if found else cursor
    return Page([event for _, event in found], total, last)


def _texts(values: list[str] | list[int]) -> str:
    return _encode(values).decode()


def _starts(column: str, prefixes: list[str]) -> tuple[str, list[Value]]:
    """A condition that an index serves: `column` begins with one of `prefixes`."""
    parts: list[str] = []
    args: list[Value] = []
    for prefix in prefixes:
        end = _after(prefix)
        if end is None:
            parts.append(f"{column} >= ?")
            args.append(prefix)
        else:
            parts.append(f"({column} >= ? AND {column} < ?)")
            args += (prefix, end)
    return f"({' OR '.join(parts)})", args


def _after(prefix: str) -> str | None:
    """The least text greater than everything that begins with `prefix`; None if there is none."""
    for length in range(len(prefix), 0, -1):
        code = ord(prefix[length - 1])
        if code < 0x10FFFF:
            # U+D800 to U+DFFF are no characters.
            following = 0xE000 if code == 0xD7FF else code + 1
            return prefix[: length - 1] + chr(following)
    return None
