"""Runs of deployments, made on request.

Source: `prefect.server.api.deployments.{create_flow_run_from_deployment,
bulk_create_flow_runs_from_deployment}`.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import deployment_queues, flow_runs, work_queues
from lictor.schema.errors import BadRequest, NotFound, Refused
from lictor.schema.mint import Mint
from lictor.schema.rules import parameters as rules
from lictor.schema.rules.hydration import Variables
from lictor.schema.times import parse
from lictor.schema.wire.deployments import DeploymentFlowRunCreate, FlowRunCreateResult
from lictor.schema.wire.flow_runs import FlowRun, FlowRunCreate
from lictor.schema.wire.states import StateBody, StateDetailsBody


class _Template(NamedTuple):
    """What a deployment gives to its runs; JSON columns as text."""

    flow_id: str
    version: str | None
    tags: str
    labels: str
    parameters: str
    parameter_openapi_schema: str
    enforce_parameter_schema: int
    job_variables: str
    infrastructure_document_id: str | None
    work_queue_id: str | None
    work_queue_name: str | None


def exists(tx: ReadTx, id_: str) -> bool:
    """Whether there is a deployment called `id_`."""
    return tx.one("SELECT 1 FROM deployment WHERE id = ?", (id_,)) is not None


def create(
    tx: Tx,
    id_: str,
    body: DeploymentFlowRunCreate,
    created_by: str | None,
    variables: Variables,
    mint: Mint,
    settings: Settings,
) -> tuple[FlowRun, bool]:
    """A run of a deployment, or the one an earlier request with this key has made (False).

    Raises:
        NotFound: there is no such deployment, or a block that the pool's defaults name.
        BadRequest: a placeholder cannot be resolved, or a queue is named but no pool is there.
        Conflict: the parameters do not fit the deployment's schema.
        Invalid: the schema is circular, or the job variables do not fit the pool.
        InvalidRequest: the parameters are larger than the limit.
    """
    row = tx.one(f"SELECT {', '.join(_Template._fields)} FROM deployment WHERE id = ?", (id_,))
    if row is None:
        raise NotFound("Deployment not found")
    template = _Template(*row)
    given = {**msgspec.json.decode(template.parameters), **body.parameters}
    parameters = rules.hydrated(given, variables, "flow run")
    enforce = body.enforce_parameter_schema
    if template.enforce_parameter_schema if enforce is None else enforce:
        schema = template.parameter_openapi_schema
        rules.require_fit(parameters, schema, "creating flow run", may_be_partial=False)
    pool = deployment_queues.pool_of_queue(tx, template.work_queue_id)
    layers = [msgspec.json.decode(template.job_variables), body.job_variables]
    deployment_queues.require_run_fits(pool, layers, "creating")
    queue_id, queue_name = template.work_queue_id, template.work_queue_name
    if body.work_queue_name:
        if pool is None:
            raise BadRequest(
                f"Cannot create flow run in work queue {body.work_queue_name} because deployment"
                f" {id_} is not associated with a work pool."
            )
        queue_name = body.work_queue_name
        queue_id = work_queues.find_or_create(tx, pool.name, queue_name, mint).id
    origin = flow_runs.Origin(template.version, queue_id, queue_name, template.labels)
    run = _run(template, id_, body, parameters, mint)
    return flow_runs.create(tx, run, created_by, mint, settings, origin)


def _run(
    template: _Template,
    deployment_id: str,
    body: DeploymentFlowRunCreate,
    parameters: dict[str, Any],
    mint: Mint,
) -> FlowRunCreate:
    infrastructure = body.infrastructure_document_id
    if infrastructure is None and template.infrastructure_document_id is not None:
        infrastructure = UUID(template.infrastructure_document_id)
    return FlowRunCreate(
        flow_id=UUID(template.flow_id),
        state=body.state or _due_now(mint),
        name=body.name,
        parameters=parameters,
        context=body.context,
        parent_task_run_id=body.parent_task_run_id,
        infrastructure_document_id=infrastructure,
        empirical_policy=body.empirical_policy,
        tags=list(dict.fromkeys([*msgspec.json.decode(template.tags), *body.tags])),
        labels=body.labels,
        idempotency_key=body.idempotency_key,
        job_variables=body.job_variables,
        deployment_id=UUID(deployment_id),
    )


def _due_now(mint: Mint) -> StateBody:
    details = StateDetailsBody(scheduled_time=parse(mint.now()))
    return StateBody(type="SCHEDULED", state_details=details)


def failed(error: Refused) -> FlowRunCreateResult:
    """What `create_flow_run/bulk` answers for a run that could not be made."""
    return FlowRunCreateResult(None, "FAILED", error.detail)


def created(run: FlowRun) -> FlowRunCreateResult:
    """What `create_flow_run/bulk` answers for a run that is there."""
    return FlowRunCreateResult(run.id, "CREATED")
