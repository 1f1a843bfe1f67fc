"""What requests do to deployments, in their transaction.

Source: `prefect.server.models.deployments`, `prefect.server.api.deployments`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import (
    deployment_events,
    deployment_limits,
    deployment_queues,
    deployment_schedules,
)
from lictor.schema.commands.deployment_schedules import SchedulesChanged
from lictor.schema.commands.proposals import decode_labels, sized_parameters
from lictor.schema.errors import (
    Conflict,
    FieldError,
    IntegrityConflict,
    InvalidRequest,
    NotFound,
)
from lictor.schema.mint import Mint
from lictor.schema.rules import json_schema
from lictor.schema.rules import parameters as rules
from lictor.schema.rules.hydration import Variables
from lictor.schema.tables import deployments as table
from lictor.schema.tables.runs import encode_text
from lictor.schema.times import Timestamp
from lictor.schema.wire.decode import ECHO_BYTES_MAX
from lictor.schema.wire.deployments import (
    Deployment,
    DeploymentCreate,
    DeploymentUpdate,
)

_TEXTS = ("version", "description", "path", "entrypoint")
_IDS = ("storage_document_id", "infrastructure_document_id")
_JSON = ("parameter_openapi_schema", "pull_steps", "concurrency_options", "tags")


def create(
    tx: Tx,
    body: DeploymentCreate,
    mint: Mint,
    settings: Settings,
) -> tuple[Deployment, bool]:
    """A new deployment, or the one of that flow and name with what the body says; True if new.

    Its schedules are those of the body, whatever they were. Nobody is noted as its creator, even
    where the request names an automation: so it is with Prefect.

    Raises:
        NotFound: the work pool or the concurrency limit does not exist.
        Invalid: the job variables do not fit the work pool.
        IntegrityConflict: the flow does not exist.
        Conflict: a block does not exist, or a slug is given twice.
        InvalidRequest: the parameters are larger than the limit, or do not fit their schema.
    """
    now, flow_id = mint.now(), str(body.flow_id)
    if body.enforce_parameter_schema is True:
        _require_parameters_fit(body)
    deployment_queues.require_fit_to_create(tx, body)
    columns = {**_columns(tx, body, now), **deployment_queues.columns(tx, body, mint)}
    columns["parameters"] = sized_parameters(body.parameters, settings)
    if body.job_variables is not UNSET:
        columns["job_variables"] = encode_text(body.job_variables).decode()
    _require_blocks(body)
    columns["labels"] = _labels(tx, flow_id, body)
    row = tx.one("SELECT id FROM deployment WHERE flow_id = ? AND name = ?", (flow_id, body.name))
    before = None if row is None else table.tracked(tx, row[0])
    if row is None:
        id_ = mint.id()
        columns |= {"id": id_, "created": now, "name": body.name, "flow_id": flow_id}
        table.insert(tx, columns, [] if body.tags is UNSET else body.tags)
    else:
        id_ = row[0]
        table.update(tx, id_, columns, None if body.tags is UNSET else body.tags)
        deployment_schedules.delete_scheduled_runs(tx, id_, after=now)
    deployment_schedules.replace_all(tx, id_, body.schedules, mint)
    _set_limit(tx, id_, body, mint)
    if before is None:
        deployment_events.publish(tx, id_, "created", mint)
    else:
        deployment_events.publish_changes(tx, id_, before, table.tracked(tx, id_), mint)
    tx.publish(SchedulesChanged(id_))
    deployment = table.read(tx, id_, now)
    assert deployment is not None
    return deployment, before is None


def _labels(tx: ReadTx, flow_id: str, body: DeploymentCreate) -> str:
    """The labels of a deployment: the flow's, the flow's id, the given ones; later ones win.

    Raises:
        IntegrityConflict: the flow does not exist.
    """
    flow = tx.one("SELECT labels FROM flow WHERE id = ?", (flow_id,))
    if flow is None:
        raise IntegrityConflict(f"there is no flow {flow_id}")
    given = body.labels or {}
    labels = {**decode_labels(flow[0]), "prefect.flow.id": flow_id, **given}
    return encode_text(labels).decode()


def update(
    tx: Tx, id_: str, body: DeploymentUpdate, variables: Variables, mint: Mint, settings: Settings
) -> None:
    """Write the fields that are in the body. What schedules have made for the future goes.

    Raises:
        NotFound: the deployment, the work pool or the concurrency limit does not exist.
        Invalid: the schedules cannot be told apart, or the schema is circular.
        Conflict: the job variables or the parameters do not fit, or a slug is given twice.
        IntegrityConflict: a field is null that cannot be, or a block does not exist.
        BadRequest: a placeholder in the parameters cannot be resolved.
        InvalidRequest: the parameters are larger than the limit.
    """
    row = tx.one(
        "SELECT parameters, parameter_openapi_schema, enforce_parameter_schema"
        " FROM deployment WHERE id = ?",
        (id_,),
    )
    if row is None:
        raise NotFound("Deployment not found.")
    plan = deployment_schedules.plan(tx, id_, body.schedules)
    deployment_queues.require_fit_to_update(tx, body)
    now = mint.now()
    parameters = _parameters(body, row, variables)
    columns = _columns(tx, body, now)
    _require_no_nulls_nor_blocks(body)
    if isinstance(body.parameters, dict):
        sized_parameters(body.parameters, settings)
        columns["parameters"] = encode_text(parameters).decode()
    columns |= deployment_queues.columns(tx, body, mint)
    if body.job_variables is not UNSET and body.job_variables is not None:
        columns["job_variables"] = encode_text(body.job_variables).decode()
    before = table.tracked(tx, id_)
    table.update(tx, id_, columns, None if body.tags is UNSET else body.tags)
    deployment_schedules.delete_scheduled_runs(tx, id_, after=now)
    deployment_schedules.apply(tx, id_, plan, mint)
    # Among the changes the event of a PATCH tells that a limit went, but not that one came.
    after = table.tracked(tx, id_)
    _set_limit(tx, id_, body, mint)
    if body.concurrency_limit is None:
        after = table.tracked(tx, id_)
    deployment_events.publish_changes(tx, id_, before, after, mint)
    tx.publish(SchedulesChanged(id_))


def _parameters(
    body: DeploymentUpdate, stored: tuple[Any, ...], variables: Variables
) -> dict[str, Any]:
    """The parameters that a change leaves, which fit the schema that it leaves.

    `stored`: parameters, schema and enforcement so far.
    """
    parameters, schema, enforce = stored
    if isinstance(body.parameters, dict):
        decoded = rules.hydrated(body.parameters, variables, "deployment")
    else:
        decoded = msgspec.json.decode(parameters)
    if isinstance(body.enforce_parameter_schema, bool):
        enforce = body.enforce_parameter_schema
    if enforce:
        if body.parameter_openapi_schema:
            schema = encode_text(body.parameter_openapi_schema).decode()
        rules.require_fit(decoded, schema, "updating deployment", may_be_partial=True)
    return rules.require_object(decoded, "deployment")


def _columns(
    tx: ReadTx, body: DeploymentCreate | DeploymentUpdate, now: Timestamp
) -> dict[str, Value]:
    """The columns that the fields in the body stand for.

    Raises:
        NotFound: the concurrency limit it shares does not exist.
    """
    columns: dict[str, Value] = {"updated": now}
    for name in _TEXTS:
        if (text := getattr(body, name)) is not UNSET:
            columns[name] = text
    for name in _IDS:
        if (id_ := getattr(body, name)) is not UNSET:
            columns[name] = None if id_ is None else str(id_)
    for name in _JSON:
        if (value := getattr(body, name)) is not UNSET:
            columns[name] = encode_text(value).decode()
    if body.concurrency_options is None:
        columns["concurrency_options"] = None
    if body.paused is not UNSET:
        columns["paused"] = int(body.paused)
    if body.enforce_parameter_schema not in (UNSET, None):
        columns["enforce_parameter_schema"] = int(bool(body.enforce_parameter_schema))
    if body.global_concurrency_limit_id is None:
        columns["concurrency_limit_id"] = None
    elif body.global_concurrency_limit_id is not UNSET:
        limit_id = str(body.global_concurrency_limit_id)
        deployment_limits.require_shared(tx, limit_id)
        columns["concurrency_limit_id"] = limit_id
    return columns


def _require_parameters_fit(body: DeploymentCreate) -> None:
    """Raises `InvalidRequest` unless the parameters fit the schema that comes with them."""
    schema = body.parameter_openapi_schema
    if schema is UNSET or schema is None:
        return
    parameters = msgspec.json.decode(encode_text(body.parameters))
    try:
        json_schema.check(parameters, schema, may_be_partial=True, as_written=True)
    except (json_schema.InvalidValue, json_schema.UnusableSchema) as error:
        # The client shows what was sent beside the reason.
        said, sent = f"Value error, {error}", msgspec.json.encode(body)
        echo = msgspec.Raw(sent) if len(sent) <= ECHO_BYTES_MAX else None
        fault = FieldError("value_error", ("body",), said, echo, {"error": {}})
        raise InvalidRequest([fault], echo) from error


def _require_blocks(body: DeploymentCreate) -> None:
    """Raises `Conflict`, unless the blocks that the body names exist."""
    for kind, id_ in (
        ("infrastructure", body.infrastructure_document_id),
        ("storage", body.storage_document_id),
    ):
        if id_ is not UNSET and id_ is not None:
            raise Conflict(
                f"Error creating deployment. Could not find {kind} block with id: {id_}. The"
                " deployment may have been written for another server."
            )


def _require_no_nulls_nor_blocks(body: DeploymentUpdate) -> None:
    """Raises `IntegrityConflict` when a column that must be something is to be null, or one is to
    name a block: there are none.
    """
    for name in ("parameters", "enforce_parameter_schema"):
        if getattr(body, name) is None:
            raise IntegrityConflict(f"{name} of a deployment cannot be null")
    for name in _IDS:
        if getattr(body, name) not in (UNSET, None):
            raise IntegrityConflict(f"{name}: there is no block {getattr(body, name)}")


def _set_limit(tx: Tx, id_: str, body: DeploymentCreate | DeploymentUpdate, mint: Mint) -> None:
    if body.concurrency_limit is UNSET:
        return
    if body.concurrency_limit is not None:
        deployment_limits.set_own(tx, id_, body.concurrency_limit, mint)
    elif body.global_concurrency_limit_id in (UNSET, None):
        deployment_limits.unset(tx, id_)


def set_paused(tx: Tx, id_: str, paused: bool, mint: Mint) -> None:
    """Let schedules make runs no longer, or again. Pausing deletes the runs they have made.

    A deployment that is so already counts as not updated.

    Raises:
        NotFound: there is no such deployment.
    """
    row = tx.one("SELECT paused FROM deployment WHERE id = ?", (id_,))
    if row is None:
        raise NotFound("Deployment not found")
    if row[0] != int(paused):
        table.update(tx, id_, {"paused": int(paused), "updated": mint.now()})
    if paused:
        deployment_schedules.delete_scheduled_runs(tx, id_)
    tx.publish(SchedulesChanged(id_))


def delete(tx: Tx, id_: str, mint: Mint) -> bool:
    """Delete a deployment with the runs that never ran; False if there is none.

    Other runs keep its id.
    """
    if tx.one("SELECT 1 FROM deployment WHERE id = ?", (id_,)) is None:
        return False
    deployment_events.publish(tx, id_, "deleted", mint)
    deployment_schedules.delete_all_scheduled_runs(tx, id_)
    deployment_limits.delete_own(tx, id_)
    table.delete(tx, id_)
    tx.publish(SchedulesChanged(id_))
    return True
