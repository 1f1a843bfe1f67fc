"""The state histories, `flow_run_state` and `task_run_state`, as answers carry them.

A state's `data` lives in the artifact that `result_artifact_id` names; readers join it and pass its
JSON text along (`s.message, s.state_details, a.data`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from lictor.schema.backends.tx import ReadTx
from lictor.schema.wire.states import ObservedOrder, ObservedState, State, StateDetails

STATE_COLUMNS = "s.id, s.type, s.name, s.timestamp, s.message, s.state_details, a.data"
"""What `state` takes, in this order, from a state table `s` and its artifact `a`."""

_decode_details = msgspec.json.Decoder(StateDetails).decode


def state(
    id_: str,
    type_: str,
    name: str,
    timestamp: str,
    message: str | None,
    details_json: str,
    data_json: str | None,
) -> State:
    """The state of a row. Its details are completed: every key is sent, whatever was stored."""
    details = StateDetails() if details_json == "{}" else _decode_details(details_json)
    data = None if data_json is None else Raw(data_json)
    return State(id_, type_, name, timestamp, message, details, data)


def to_wire(row: tuple[Any, ...]) -> State:
    """The answer for a row of `STATE_COLUMNS`."""
    return state(*row)


def _from(table: str) -> str:
    return (
        f"SELECT {STATE_COLUMNS} FROM {table} s"
        " LEFT JOIN artifact a ON a.id = s.result_artifact_id WHERE"
    )


def _read(sql: str, tx: ReadTx, id_: str) -> State | None:
    row = tx.one(sql, (id_,))
    return None if row is None else state(*row)


def _history(sql: str, tx: ReadTx, run_id: str) -> list[State]:
    return [state(*row) for row in tx.all(sql, (run_id,))]


def read_of_flow_run(tx: ReadTx, id_: str) -> State | None:
    """The flow-run state called `id_`."""
    return _read(_FLOW_RUN_STATE, tx, id_)


def read_of_task_run(tx: ReadTx, id_: str) -> State | None:
    """The task-run state called `id_`."""
    return _read(_TASK_RUN_STATE, tx, id_)


def history_of_flow_run(tx: ReadTx, flow_run_id: str) -> list[State]:
    """Every state the run has had, oldest first; none for an unknown run."""
    return _history(_FLOW_RUN_HISTORY, tx, flow_run_id)


def history_of_task_run(tx: ReadTx, task_run_id: str) -> list[State]:
    """Every state the run has had, oldest first; none for an unknown run."""
    return _history(_TASK_RUN_HISTORY, tx, task_run_id)


_FLOW_RUN_STATE = f"{_from('flow_run_state')} s.id = ?"
_TASK_RUN_STATE = f"{_from('task_run_state')} s.id = ?"
_FLOW_RUN_HISTORY = f"{_from('flow_run_state')} s.flow_run_id = ? ORDER BY s.timestamp, s.seq"
_TASK_RUN_HISTORY = f"{_from('task_run_state')} s.task_run_id = ? ORDER BY s.timestamp, s.seq"


_OBSERVED_ORDER: dict[ObservedOrder, str] = {
    "LAST_SEEN_DESC": "last_seen DESC, type, name",
    "NAME_ASC": "type, name",
}


def observed(tx: ReadTx, prefix: str, order: ObservedOrder, limit: int) -> list[ObservedState]:
    """Up to `limit` states that runs have been in, whose type or name begins with `prefix`.

    Case does not matter in ASCII. States stay observed when their runs are deleted.
    """
    rows = tx.all(
        "SELECT type, name, first_seen, last_seen FROM observed_state"
        " WHERE lower(substr(type, 1, ?)) = lower(?) OR lower(substr(name, 1, ?)) = lower(?)"
        f" ORDER BY {_OBSERVED_ORDER[order]} LIMIT ?",
        (len(prefix), prefix, len(prefix), prefix, limit),
    )
    return [ObservedState(*row) for row in rows]
