"""Writing states: a row of the history, and an artifact for a result that is kept."""

from __future__ import annotations

from typing import Any

from lictor.schema.backends.tx import Tx
from lictor.schema.mint import Mint
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.states import StateDetails

NO_DETAILS = "{}"


def is_kept(data: Any) -> bool:
    """Whether a state's data is stored: a result that says it is not persisted is only echoed."""
    return data is not None and not (isinstance(data, dict) and data.get("type") == "unpersisted")


def insert_flow_run_state(
    tx: Tx,
    mint: Mint,
    *,
    flow_run_id: str,
    id_: str,
    type_: str,
    name: str,
    timestamp: str,
    message: str | None,
    details: StateDetails,
    data: Any,
) -> str:
    """Add a state to the history of a flow run; its sparse details as stored."""
    artifact_id = None
    if is_kept(data):
        artifact_id = insert_result(tx, mint, data, flow_run_id=flow_run_id, task_run_id=None)
    stored = encode_text(details).decode()
    tx.run(
        "INSERT INTO flow_run_state (id, flow_run_id, type, name, timestamp, message,"
        " state_details, result_artifact_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (id_, flow_run_id, type_, name, timestamp, message, stored, artifact_id),
    )
    return stored


def insert_task_run_state(
    tx: Tx,
    mint: Mint,
    *,
    task_run_id: str,
    flow_run_id: str | None,
    id_: str,
    type_: str,
    name: str,
    timestamp: str,
    message: str | None,
    details: StateDetails,
    data: Any,
) -> str:
    """Add a state to the history of a task run; its sparse details as stored."""
    artifact_id = None
    if is_kept(data):
        artifact_id = insert_result(
            tx, mint, data, flow_run_id=flow_run_id, task_run_id=task_run_id
        )
    stored = encode_text(details).decode()
    tx.run(
        "INSERT INTO task_run_state (id, task_run_id, type, name, timestamp, message,"
        " state_details, result_artifact_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (id_, task_run_id, type_, name, timestamp, message, stored, artifact_id),
    )
    return stored


def insert_result(
    tx: Tx, mint: Mint, data: Any, *, flow_run_id: str | None, task_run_id: str | None
) -> str:
    """Store a state's data as an artifact; its id. `artifact_*` keys move into its columns.

    Source: `prefect.server.schemas.core.Artifact.from_result`.
    """
    key = type_ = description = None
    if isinstance(data, dict):
        key = data.pop("artifact_key", None)
        type_ = data.pop("artifact_type", None)
        description = data.pop("artifact_description", None)
    id_, now = mint.id(), mint.now()
    tx.run(
        "INSERT INTO artifact (id, created, updated, key, type, description, data, flow_run_id,"
        " task_run_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id_, now, now, key or None, type_ or None, description or None,
            encode_text(data).decode(), flow_run_id, task_run_id,
        ),
    )  # fmt: skip
    return id_
