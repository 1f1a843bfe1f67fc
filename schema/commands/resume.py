"""Resuming a paused flow run, with the input it waits for.

The pause, its input's schema and the transition are read and decided in one transaction: two
resumes of one pause cannot both be accepted.

Source: `prefect.server.api.flow_runs.resume_flow_run`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import flow_runs, proposals
from lictor.schema.mint import Mint
from lictor.schema.rules import json_schema, policies
from lictor.schema.rules.hydration import HydrationFailed, Variables, hydrate
from lictor.schema.rules.records import State
from lictor.schema.tables import inputs
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.flow_runs import OrchestrationResult
from lictor.schema.wire.inputs import InputCreate
from lictor.schema.wire.states import SparseStateDetails

RunInput = dict[str, Any]


class _Unfit(Exception):
    """The input cannot be taken; the text says why."""


def resume(
    tx: Tx,
    id_: str,
    run_input: RunInput | None,
    variables: Variables,
    mint: Mint,
    settings: Settings,
    client_version: str | None = None,
) -> tuple[OrchestrationResult, bool]:
    """Let a paused run go on: the verdict, and whether a state was written.

    A blocking pause is left by RUNNING, a suspended run is scheduled again, now. Input that does
    not fit leaves the run PAUSED; input that does is kept under the key the run reads it from.

    Raises:
        Missing: the run does not exist.
    """
    loaded = flow_runs.load(tx, id_)
    current = loaded.current
    if current is None or current.type != "PAUSED":
        return _refusal("ABORT", None, "Cannot resume a flow run that is not paused."), False
    keyset = current.details.run_input_keyset
    checked: Any = None
    if keyset:
        try:
            checked = _checked(tx, id_, run_input or {}, keyset, variables)
        except _Unfit as error:
            return _refusal("REJECT", current, str(error)), False
    transition = flow_runs.propose(
        tx,
        policies.FLOW_CORE,
        loaded,
        _next_state(current, mint),
        mint,
        settings,
        client_version,
    )
    if keyset and checked and transition.status == "ACCEPT":
        _keep(tx, id_, keyset, checked, mint)
    return proposals.result(transition), transition.proposed is not None


def awaits_input(tx: ReadTx, id_: str) -> bool:
    """Whether the run is paused for input, so that resuming it will need a schema checked."""
    row = tx.one(
        "SELECT s.state_details FROM flow_run fr JOIN flow_run_state s ON s.id = fr.state_id"
        " WHERE fr.id = ? AND fr.state_type = 'PAUSED'",
        (id_,),
    )
    return row is not None and bool(proposals.decode_details(row[0]).run_input_keyset)


def _next_state(current: State, mint: Mint) -> State:
    now = mint.now()
    if current.details.pause_reschedule:
        details = SparseStateDetails(scheduled_time=now)
        return State(mint.id(), "SCHEDULED", "Resuming", now, details=details)
    return State(mint.id(), "RUNNING", "Running", now)


def _checked(
    tx: Tx, id_: str, run_input: RunInput, keyset: dict[str, str], variables: Variables
) -> Any:
    """The input, hydrated and found to fit the schema that the run has stored.

    Raises:
        _Unfit: it does not fit, or there is nothing to check it against.
    """
    try:
        hydrated = hydrate(run_input, variables) or {}
    except HydrationFailed as error:
        raise _Unfit(f"Error hydrating run input: {error}") from error
    key = keyset.get("schema")
    stored = None if key is None else inputs.read_value(tx, id_, key)
    if stored is None:
        raise _Unfit("Run input schema not found.")
    try:
        schema = msgspec.json.decode(stored)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise _Unfit("Run input schema is not valid JSON.") from None
    try:
        json_schema.check(hydrated, schema)
    except (json_schema.InvalidValue, json_schema.UnusableSchema) as error:
        raise _Unfit(f"Reason: {error}") from error
    return hydrated


def _keep(tx: Tx, id_: str, keyset: dict[str, str], checked: Any, mint: Mint) -> None:
    """Leave the input where the run reads it; what an earlier attempt left there is replaced."""
    key = keyset.get("response")
    if key is not None:
        inputs.delete(tx, id_, key)
        inputs.insert(tx, id_, InputCreate(key=key, value=encode_text(checked).decode()), mint)


def _refusal(status: Any, current: State | None, reason: str) -> OrchestrationResult:
    state = None if current is None else proposals.answer(current)
    return OrchestrationResult(state, status, {"type": "abort_details", "reason": reason})
