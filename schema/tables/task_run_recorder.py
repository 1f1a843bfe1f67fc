"""Task runs derived from what clients report: the rows of `task_run` and `task_run_state`.

Changes are applied as if one by one, in the order of arrival, but each run is written once for all
of them. Two keys know a run: its id, and inside a flow run its natural key (flow run, task key,
dynamic key); the natural key wins. A change writes the run only if its state is newer than the one
the run is in; its own state joins the history in any case, and one that is there already is left
alone, so changes may come late, twice, or in any order.

Source: `prefect.server.services.task_run_recorder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from lictor.schema.backends.tx import Tx, Value
from lictor.schema.mint import Mint
from lictor.schema.names import slug
from lictor.schema.tables import task_runs
from lictor.schema.tables.flow_runs import delete_tags, write_tags
from lictor.schema.tables.runs import encode_text
from lictor.schema.tables.state_rows import insert_result
from lictor.schema.times import Timestamp
from lictor.schema.wire.states import SparseStateDetails

NaturalKey = tuple[str, str, str]


class TaskRunChange(msgspec.Struct):
    """One reported state of one task run.

    `columns` are those of `task_run` that were reported, as stored (JSON as text), without its keys
    and without its state; `tags` are those in `columns`, if any.
    """

    task_run_id: str
    flow_run_id: str | None
    task_key: str
    dynamic_key: str
    columns: dict[str, Value]
    tags: list[str] | None
    state_id: str
    state_type: str
    state_name: str
    timestamp: Timestamp
    message: str | None
    details: SparseStateDetails
    data: Any

    @property
    def natural_key(self) -> NaturalKey | None:
        if self.flow_run_id is None:
            return None
        return self.flow_run_id, self.task_key, self.dynamic_key


class _Run:
    """A run as it will be. `seq` is None while it is not stored; `pending` is what to write."""

    __slots__ = (
        "dynamic_key", "flow_run_id", "id", "pending", "seq", "stored_tags", "tags", "task_key",
        "timestamp",
    )  # fmt: skip

    def __init__(
        self,
        seq: int | None,
        id_: str,
        flow_run_id: str | None,
        task_key: str,
        dynamic_key: str,
        timestamp: Timestamp | None,
        stored_tags: str,
    ) -> None:
        self.seq = seq
        self.id = id_
        self.flow_run_id = flow_run_id
        self.task_key = task_key
        self.dynamic_key = dynamic_key
        self.timestamp = timestamp
        self.stored_tags = stored_tags
        self.tags: list[str] | None = None
        self.pending: dict[str, Value] = {}

    @property
    def natural_key(self) -> NaturalKey | None:
        if self.flow_run_id is None:
            return None
        return self.flow_run_id, self.task_key, self.dynamic_key


def record(tx: Tx, changes: Sequence[TaskRunChange], mint: Mint) -> int:
    """Apply `changes`; the number of those left out because their flow run does not exist."""
    if not changes:
        return 0
    batch = _Batch(tx, mint)
    batch.load(changes)
    for change in changes:
        batch.apply(change)
    batch.flush()
    return batch.left_out


_COLUMNS = "t.seq, t.id, t.flow_run_id, t.task_key, t.dynamic_key, t.state_timestamp, t.tags"
_BY_ID = f"SELECT {_COLUMNS} FROM json_each(?) j JOIN task_run t ON t.id = j.value"
_BY_NATURAL_KEY = (
    f"SELECT {_COLUMNS} FROM json_each(?) j JOIN task_run t"
    " ON t.flow_run_id = json_extract(j.value, '$[0]')"
    " AND t.task_key = json_extract(j.value, '$[1]')"
    " AND t.dynamic_key = json_extract(j.value, '$[2]')"
)
_INSERT_STATE = (
    "INSERT INTO task_run_state (id, task_run_id, type, name, timestamp, message, state_details,"
    " result_artifact_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)


class _Batch:
    """The runs that some changes are about, and what is to be written of them."""

    def __init__(self, tx: Tx, mint: Mint) -> None:
        self._tx = tx
        self._mint = mint
        self._now = mint.now()
        self._by_id: dict[str, _Run] = {}
        self._by_key: dict[NaturalKey, _Run] = {}
        self._flow_runs: set[str] = set()
        self._touched: dict[str, _Run] = {}
        self._states: list[tuple[TaskRunChange, str]] = []
        self.left_out = 0

    def load(self, changes: Sequence[TaskRunChange]) -> None:
        """Read every run that one of `changes` may be about, and which flow runs exist."""
        self._keep(_BY_ID, {change.task_run_id for change in changes})
        keys = {key for change in changes if (key := change.natural_key) is not None}
        self._keep(_BY_NATURAL_KEY, keys - self._by_key.keys())
        self._flow_runs.update(key[0] for key in self._by_key)
        unknown = {key[0] for key in keys} - self._flow_runs
        if unknown:
            rows = self._tx.all(
                "SELECT f.id FROM json_each(?) j JOIN flow_run f ON f.id = j.value",
                (_text(unknown),),
            )
            self._flow_runs.update(id_ for (id_,) in rows)

    def _keep(self, sql: str, keys: Iterable[Any]) -> None:
        listed = list(keys)
        if not listed:
            return
        for row in self._tx.all(sql, (_text(listed),)):
            if row[1] not in self._by_id:
                run = self._by_id[row[1]] = _Run(*row)
                if (key := run.natural_key) is not None:
                    self._by_key[key] = run

    def apply(self, change: TaskRunChange) -> None:
        if change.flow_run_id is not None and change.flow_run_id not in self._flow_runs:
            self.left_out += 1
            return
        run = self._find(change)
        self._states.append((change, run.id))
        if run.timestamp is not None and run.timestamp >= change.timestamp:
            return
        if run.natural_key != change.natural_key and run.seq is not None:
            # The key moves: write what hangs on the old one first, so that unique keys never meet.
            self.flush()
        self._move(run, change)
        run.timestamp = change.timestamp
        if change.tags is not None:
            run.tags = change.tags
        run.pending.update(change.columns)
        run.pending["state_id"] = change.state_id
        run.pending["state_type"] = change.state_type
        run.pending["state_name"] = change.state_name
        run.pending["state_timestamp"] = change.timestamp
        self._touched[run.id] = run

    def _find(self, change: TaskRunChange) -> _Run:
        """The run that `change` is about; a new one if there is none."""
        key = change.natural_key
        run = None if key is None else self._by_key.get(key)
        if run is None:
            run = self._by_id.get(change.task_run_id)
        if run is None:
            run = _Run(
                None, change.task_run_id, change.flow_run_id, change.task_key,
                change.dynamic_key, None, "[]",
            )  # fmt: skip
            if key is not None:
                self._by_key[key] = run
        # Later changes of this batch that use the same foreign id mean the same run.
        self._by_id.setdefault(change.task_run_id, run)
        return run

    def _move(self, run: _Run, change: TaskRunChange) -> None:
        """Give `run` the keys of `change`. Unchanged ones are not written: indexes hang on them."""
        before = run.natural_key
        for name in ("flow_run_id", "task_key", "dynamic_key"):
            value = getattr(change, name)
            if getattr(run, name) != value:
                setattr(run, name, value)
                run.pending[name] = value
        after = run.natural_key
        if before != after:
            if before is not None:
                del self._by_key[before]
            if after is not None:
                self._by_key[after] = run

    def flush(self) -> None:
        """Write what is pending: runs first, for states refer to them."""
        for run in self._touched.values():
            if run.seq is None:
                self._insert(run)
            else:
                self._update(run)
        self._touched.clear()
        self._insert_states()

    def _insert(self, run: _Run) -> None:
        columns = {**_DEFAULTS, **run.pending}
        if "name" not in run.pending:
            columns["name"] = slug(self._mint)
        columns["id"] = run.id
        columns["created"] = columns["updated"] = self._now
        columns["flow_run_id"] = run.flow_run_id
        columns["task_key"] = run.task_key
        columns["dynamic_key"] = run.dynamic_key
        row = self._tx.one(_INSERT_RUN, tuple(columns[name] for name in _FIELDS))
        assert row is not None
        seq: int = row[0]
        run.seq = seq
        if run.tags:
            write_tags(self._tx, "task_run_tag", seq, run.tags)
        self._written(run)

    def _update(self, run: _Run) -> None:
        run.pending["updated"] = self._now
        task_runs.update(self._tx, run.id, run.pending)
        tags = run.pending.get("tags")
        if tags is not None and tags != run.stored_tags:
            assert run.seq is not None
            assert run.tags is not None
            delete_tags(self._tx, "task_run_tag", [(run.seq, run.stored_tags)])
            write_tags(self._tx, "task_run_tag", run.seq, run.tags)
        self._written(run)

    def _written(self, run: _Run) -> None:
        tags = run.pending.get("tags")
        if isinstance(tags, str):
            run.stored_tags = tags
        run.tags = None
        run.pending = {}

    def _insert_states(self) -> None:
        results = self._insert_results()
        rows = []
        for change, run_id in self._states:
            change.details.task_run_id = run_id
            change.details.flow_run_id = change.flow_run_id
            rows.append(
                (
                    change.state_id, run_id, change.state_type, change.state_name,
                    change.timestamp, change.message,
                    encode_text(change.details).decode(), results.get(change.state_id),
                )
            )  # fmt: skip
        self._tx.many(_INSERT_STATE, rows)
        self._states.clear()

    def _insert_results(self) -> dict[str, str]:
        """The artifacts of states that carry data and are not stored yet, by the state's id."""
        carrying = {
            change.state_id: (change, run_id)
            for change, run_id in self._states
            if change.data is not None
        }
        if not carrying:
            return {}
        known = self._tx.all(
            "SELECT s.id FROM json_each(?) j JOIN task_run_state s ON s.id = j.value",
            (_text(carrying),),
        )
        for (id_,) in known:
            del carrying[id_]
        return {
            id_: insert_result(
                self._tx,
                self._mint,
                change.data,
                flow_run_id=change.flow_run_id,
                task_run_id=run_id,
            )
            for id_, (change, run_id) in carrying.items()
        }


_DEFAULTS: dict[str, Value] = {
    "empirical_policy": "{}", "tags": "[]", "labels": "null", "task_inputs": "{}",
    "cache_key": None, "cache_expiration": None, "task_version": None,
    "run_count": 0, "flow_run_run_count": 0, "expected_start_time": None,
    "next_scheduled_start_time": None, "start_time": None, "end_time": None, "total_run_time": 0.0,
}  # fmt: skip
_FIELDS = task_runs.NewTaskRun._fields
_INSERT_RUN = (
    f"INSERT INTO task_run ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"
    " RETURNING seq"
)


def _text(values: Iterable[Any]) -> str:
    return encode_text(list(values)).decode()
