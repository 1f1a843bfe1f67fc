"""The `log` tables: storing lines, searching them, reading them on, deleting them.

A line's id is the store's salt followed by its `seq`: unique everywhere, and not a byte of the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.events.codec import microseconds, unpack_moment
from lictor.schema.filters.logs import LogFilter, condition
from lictor.schema.mint import Mint
from lictor.schema.times import Timestamp
from lictor.schema.wire.logs import Log, LogCreate, LogSort

_INSERT = (
    "INSERT INTO log (seq, timestamp, created, flow_run, task_run, name, level, message)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = "l.seq, l.timestamp, l.created, n.name, l.level, l.message, f.id, t.id"
_NAMES = (
    " LEFT JOIN log_name n ON n.key = l.name"
    " LEFT JOIN log_run f ON f.key = l.flow_run"
    " LEFT JOIN log_run t ON t.key = l.task_run"
)
_ORDER = {
    "TIMESTAMP_ASC": "l.timestamp, l.seq",
    "TIMESTAMP_DESC": "l.timestamp DESC, l.seq DESC",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = microseconds(datetime.min.replace(tzinfo=UTC))
_LATEST = microseconds(datetime.max.replace(tzinfo=UTC))

STARTS_MAX = 32
"""Stored lines like the first of a batch with which the whole batch is compared, the newest."""
EVERY_LINE = 2**62
"""A limit that no store reaches."""

_encode = msgspec.json.Encoder().encode


class StoredLogs:
    """Lines that have just been stored, in order: what a job publishes after its commit.

    `lines[i]` has the sequence number `first_seq + i`.
    """

    __slots__ = ("_created", "_salt", "first_seq", "lines")

    def __init__(self, first_seq: int, lines: list[LogCreate], created: int, salt: str) -> None:
        self.first_seq = first_seq
        self.lines = lines
        self._created = created
        self._salt = salt

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.lines) - 1

    def numbered(self) -> list[tuple[int, StoredLine]]:
        """Every line with its sequence number."""
        return [
            (seq, StoredLine(self, seq, line))
            for seq, line in enumerate(self.lines, self.first_seq)
        ]

    def log(self, seq: int, line: LogCreate) -> Log:
        """One of the lines as answers carry it."""
        created = unpack_moment(self._created)
        flow_run_id, task_run_id = line.flow_run_id, line.task_run_id
        return Log(
            log_id(self._salt, seq),
            created,
            created,
            line.name,
            line.level,
            _without_nul(line.message),
            unpack_moment(_timestamp(line.timestamp)),
            None if flow_run_id is None else str(flow_run_id),
            None if task_run_id is None else str(task_run_id),
        )


class StoredLine(NamedTuple):
    """One line of what a job has stored."""

    stored: StoredLogs
    seq: int
    line: LogCreate

    @property
    def log(self) -> Log:
        return self.stored.log(self.seq, self.line)


def log_id(salt: str, seq: int) -> str:
    """The UUID (version 8) of the line `seq`."""
    return f"{salt}{seq >> 48:03x}-{seq & 0xFFFF_FFFF_FFFF:012x}"


def _new_salt(mint: Mint) -> str:
    bits = mint.random.getrandbits(60)
    return f"{bits >> 28:08x}-{bits >> 12 & 0xFFFF:04x}-8{bits & 0xFFF:03x}-8"


def insert(tx: Tx, lines: list[LogCreate], mint: Mint) -> None:
    """Store `lines` in their order and publish them as `StoredLogs`."""
    if not lines:
        return
    row = tx.one("SELECT next, salt FROM log_sequence")
    if row is None:
        row = (1, _new_salt(mint))
        tx.run("INSERT INTO log_sequence (next, salt) VALUES (?, ?)", row)
    first_seq, salt = row
    created = microseconds(datetime.fromisoformat(mint.now()))
    names = _keys(tx, "log_name", "name", {line.name for line in lines})
    runs = _run_keys_of(tx, lines)
    tx.many(
        _INSERT,
        [
            (
                seq,
                _timestamp(line.timestamp),
                created,
                runs[line.flow_run_id],
                runs[line.task_run_id],
                names[line.name],
                line.level,
                _without_nul(line.message),
            )
            for seq, line in enumerate(lines, first_seq)
        ],
    )
    tx.run("UPDATE log_sequence SET next = ?", (first_seq + len(lines),))
    tx.publish(StoredLogs(first_seq, lines, created, salt))


def insert_unless_repeated(
    tx: Tx, batches: list[list[LogCreate]], mint: Mint, stored_until: int
) -> None:
    """`insert` the batches that do not stand, line by line, among the lines up to `stored_until`.

    A client whose answer was cut off by a kill sends its batch again, and cannot know whether it
    was stored. Lines have no id of their own; but no run says the same twice in a microsecond.
    """
    new = [each for each in batches if not _is_stored(tx, each, stored_until)]
    insert(tx, [line for batch in new for line in batch], mint)


def _is_stored(tx: ReadTx, batch: list[LogCreate], stored_until: int) -> bool:
    first = batch[0]
    starts = tx.all(
        "SELECT seq FROM log WHERE flow_run = (SELECT key FROM log_run WHERE id = ?)"
        " AND timestamp = ? AND seq <= ? AND level = ? AND message = ?"
        " ORDER BY seq DESC LIMIT ?",
        (
            str(first.flow_run_id),
            _timestamp(first.timestamp),
            stored_until,
            first.level,
            _without_nul(first.message),
            STARTS_MAX,
        ),
    )
    sent = (
        [
            (
                _timestamp(line.timestamp),
                line.name,
                line.level,
                _without_nul(line.message),
                None if line.flow_run_id is None else str(line.flow_run_id),
                None if line.task_run_id is None else str(line.task_run_id),
            )
            for line in batch
        ]
        if starts
        else []
    )
    return any(_lines_at(tx, seq, len(sent)) == sent for (seq,) in starts)


def _lines_at(tx: ReadTx, seq: int, count: int) -> list[tuple[Any, ...]]:
    return tx.all(
        f"SELECT l.timestamp, n.name, l.level, l.message, f.id, t.id FROM log l{_NAMES}"
        " WHERE l.seq BETWEEN ? AND ? ORDER BY l.seq",
        (seq, seq + count - 1),
    )


def _timestamp(moment: datetime) -> int:
    """Microseconds since 1970, moved into the years 1 to 9999 where an offset has led outside.

    Written out because it is a tenth of the cost of a line.
    """
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    found = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if _EARLIEST <= found <= _LATEST:
        return found
    return min(max(found, _EARLIEST), _LATEST)


def _without_nul(message: str) -> str:
    return message.replace("\0", "") if "\0" in message else message


def _run_keys_of(tx: Tx, lines: list[LogCreate]) -> dict[UUID | None, int | None]:
    runs = {line.flow_run_id for line in lines}
    runs.update([line.task_run_id for line in lines])
    texts = {run: str(run) for run in runs if run is not None}
    keys = _keys(tx, "log_run", "id", set(texts.values())) if texts else {}
    found: dict[UUID | None, int | None] = {run: keys[text] for run, text in texts.items()}
    found[None] = None
    return found


def _keys(tx: Tx, table: str, column: str, values: set[str]) -> dict[str, int]:
    """The key of each of `values`; new ones get theirs now."""
    found = _known_keys(tx, table, column, list(values))
    for value in sorted(values - found.keys()):
        row = tx.one(f"INSERT INTO {table} ({column}) VALUES (?) RETURNING key", (value,))
        assert row is not None
        found[value] = row[0]
    return found


def _known_keys(tx: ReadTx, table: str, column: str, values: list[str]) -> dict[str, int]:
    if len(values) == 1:
        row = tx.one(f"SELECT key FROM {table} WHERE {column} = ?", values)
        return {} if row is None else {values[0]: row[0]}
    return dict(
        tx.all(
            f"SELECT t.{column}, t.key FROM json_each(?) j JOIN {table} t ON t.{column} = j.value",
            (_encode(values).decode(),),
        )
    )


def _known_run_keys(tx: ReadTx, runs: Sequence[UUID]) -> list[int]:
    return list(_known_keys(tx, "log_run", "id", [str(run) for run in runs]).values())


def search(
    tx: ReadTx, criteria: LogFilter | None, sort: LogSort, limit: int, offset: int
) -> list[Log]:
    """Lines that match, by timestamp and then in the order of their arrival.

    The page is chosen before names are looked up, so that skipped lines cost an index entry each.
    """
    where = condition(criteria, partial(_known_run_keys, tx))
    order = _ORDER[sort]
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM (SELECT l.seq FROM log l WHERE {where.sql}"
        f" ORDER BY {order} LIMIT ? OFFSET ?) p JOIN log l ON l.seq = p.seq{_NAMES}"
        f" ORDER BY {order}",
        (*where.args, limit, offset),
    )
    return _to_wire(tx, rows)


class Cursor(NamedTuple):
    """A place in the lines of a run: microseconds since 1970, then the order of arrival."""

    timestamp: int
    seq: int


BEGINNING = Cursor(-(2**63), 0)


def page_of_flow_run(
    tx: ReadTx, flow_run_id: str, after: Cursor, limit: int
) -> tuple[list[tuple[Any, ...]], Cursor | None]:
    """Up to `limit` lines of the run behind `after`, oldest first, and the cursor behind them.

    A line is (timestamp in microseconds, level, task run id or None, message). The cursor is None
    when there is nothing behind the page.
    """
    rows = tx.all(
        "SELECT l.seq, l.timestamp, l.level, t.id, l.message FROM log l"
        " LEFT JOIN log_run t ON t.key = l.task_run"
        " WHERE l.flow_run = (SELECT key FROM log_run WHERE id = ?)"
        " AND (l.timestamp, l.seq) > (?, ?) ORDER BY l.timestamp, l.seq LIMIT ?",
        (flow_run_id, *after, limit),
    )
    cursor = Cursor(rows[-1][1], rows[-1][0]) if len(rows) == limit else None
    return [row[1:] for row in rows], cursor


def stored_after(tx: ReadTx, seq: int, criteria: LogFilter, limit: int) -> tuple[list[Log], int]:
    """Up to `limit` matching lines behind `seq`, in commit order, and how far they reach."""
    newest = newest_seq(tx)
    where = condition(criteria, partial(_known_run_keys, tx))
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM log l{_NAMES} WHERE l.seq > ? AND {where.sql}"
        " ORDER BY l.seq LIMIT ?",
        (seq, *where.args, limit),
    )
    return _to_wire(tx, rows), rows[-1][0] if len(rows) == limit else newest


def newest_seq(tx: ReadTx) -> int:
    """The sequence number given last; 0 before the first line."""
    row = tx.one("SELECT next - 1 FROM log_sequence")
    return 0 if row is None else row[0]


def _to_wire(tx: ReadTx, rows: list[tuple[Any, ...]]) -> list[Log]:
    if not rows:
        return []
    first = tx.one("SELECT salt FROM log_sequence")
    assert first is not None
    salt: str = first[0]
    moments: dict[int, Timestamp] = {}
    found = []
    for seq, timestamp, created, name, level, message, flow_run_id, task_run_id in rows:
        stamp = moments.get(created)
        if stamp is None:
            stamp = moments[created] = unpack_moment(created)
        found.append(
            Log(
                log_id(salt, seq),
                stamp,
                stamp,
                name,
                level,
                message,
                unpack_moment(timestamp),
                flow_run_id,
                task_run_id,
            )
        )
    return found


def delete_for_flow_run(tx: Tx, id_: str, limit: int = EVERY_LINE) -> int:
    """Delete up to `limit` lines of the run and of its task runs; how many went."""
    return _delete_for_run(tx, "flow_run", id_, limit)


def delete_for_task_run(tx: Tx, id_: str, limit: int = EVERY_LINE) -> int:
    """Delete up to `limit` lines of the task run; how many went."""
    return _delete_for_run(tx, "task_run", id_, limit)


def _delete_for_run(tx: Tx, column: str, id_: str, limit: int) -> int:
    key = tx.one("SELECT key FROM log_run WHERE id = ?", (id_,))
    if key is None:
        return 0
    chosen = f"SELECT seq FROM log WHERE {column} = ? ORDER BY timestamp, seq LIMIT ?"
    return _delete(tx, chosen, (key[0], limit))


def delete_before(tx: Tx, moment: Timestamp, limit: int) -> int:
    """Delete up to `limit` of the lines stored before `moment`, oldest first; how many went."""
    oldest = tx.all("SELECT seq, created FROM log ORDER BY seq LIMIT ?", (limit,))
    until = microseconds(datetime.fromisoformat(moment))
    expired = [seq for seq, created in oldest if created < until]
    if not expired:
        return 0
    return _delete(tx, "SELECT seq FROM log WHERE seq <= ?", (expired[-1],))


def _delete(tx: Tx, chosen: str, args: tuple[int, ...]) -> int:
    """Delete the lines `chosen` selects, then the runs that have none left."""
    runs = tx.all(
        f"SELECT flow_run FROM log WHERE seq IN ({chosen}) AND flow_run IS NOT NULL UNION"
        f" SELECT task_run FROM log WHERE seq IN ({chosen}) AND task_run IS NOT NULL",
        (*args, *args),
    )
    count = tx.run(f"DELETE FROM log WHERE seq IN ({chosen})", args)
    tx.many(
        "DELETE FROM log_run WHERE key = ?"
        " AND NOT EXISTS (SELECT 1 FROM log WHERE flow_run = ?)"
        " AND NOT EXISTS (SELECT 1 FROM log WHERE task_run = ?)",
        [(key, key, key) for (key,) in runs],
    )
    return count
