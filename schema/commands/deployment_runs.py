"""Runs of deployments, made on request.

Source: `prefect.server.api.deployments.{create_flow_run_from_deployment,
bulk_create_flow_runs_from_deployment}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
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
    return _Maker(tx, id_, created_by, variables, mint, settings).make(body)


def create_many(
    tx: Tx,
    id_: str,
    bodies: Sequence[DeploymentFlowRunCreate],
    created_by: str | None,
    variables: Variables,
    mint: Mint,
    settings: Settings,
) -> list[FlowRunCreateResult]:
    """`create` for each body; one that is refused leaves nothing behind but the queue it names.

    Raises:
        NotFound: there is no such deployment.
    """
    maker = _Maker(tx, id_, created_by, variables, mint, settings)
    maker.make_queues(body.work_queue_name for body in bodies)
    results: list[FlowRunCreateResult] = []
    for body in bodies:
        try:
            run, _ = tx.attempt(partial(maker.make, body))
        except Refused as error:
            results.append(FlowRunCreateResult(None, "FAILED", error.detail))
        else:
            results.append(FlowRunCreateResult(run.id, "CREATED"))
    return results


class _Maker:
    """Makes runs of one deployment in one transaction; what they share is found out once.

    Raises:
        NotFound: there is no such deployment.
    """

    def __init__(
        self,
        tx: Tx,
        id_: str,
        created_by: str | None,
        variables: Variables,
        mint: Mint,
        settings: Settings,
    ) -> None:
        row = tx.one(f"SELECT {', '.join(_Template._fields)} FROM deployment WHERE id = ?", (id_,))
        if row is None:
            raise NotFound("Deployment not found")
        self._tx, self._id, self._created_by = tx, id_, created_by
        self._variables, self._mint, self._settings = variables, mint, settings
        self._template = template = _Template(*row)
        self._parameters: dict[str, Any] = msgspec.json.decode(template.parameters)
        self._tags: list[str] = msgspec.json.decode(template.tags)
        self._job_variables: dict[str, Any] = msgspec.json.decode(template.job_variables)
        self._pool = deployment_queues.pool_of_queue(tx, template.work_queue_id)
        self._queue_ids: dict[str, str] = {}
        self._fitting: set[bytes] = set()

    def make_queues(self, names: Iterable[str | None]) -> None:
        """Make the queues of these names that the pool lacks, if there is a pool."""
        if self._pool is None:
            return
        for name in names:
            if name:
                self._queue_id(self._pool.name, name)

    def make(self, body: DeploymentFlowRunCreate) -> tuple[FlowRun, bool]:
        """As `create` says."""
        template = self._template
        given = {**self._parameters, **body.parameters}
        found = rules.hydrated(given, self._variables, "flow run")
        enforce = body.enforce_parameter_schema
        if template.enforce_parameter_schema if enforce is None else enforce:
            schema = template.parameter_openapi_schema
            rules.require_fit(found, schema, "creating flow run", may_be_partial=False)
        parameters = rules.require_object(found, "flow run")
        self._require_job_variables_fit(body.job_variables)
        queue_id, queue_name = template.work_queue_id, template.work_queue_name
        if body.work_queue_name:
            if self._pool is None:
                raise BadRequest(
                    f"Cannot create flow run in work queue {body.work_queue_name} because"
                    f" deployment {self._id} is not associated with a work pool."
                )
            queue_name = body.work_queue_name
            queue_id = self._queue_id(self._pool.name, queue_name)
        origin = flow_runs.Origin(
            template.version,
            queue_id,
            queue_name,
            template.labels,
            has_deployment=True,
            flow_id=template.flow_id,
        )
        run = self._body(body, parameters)
        return flow_runs.create(self._tx, run, self._created_by, self._mint, self._settings, origin)

    def _require_job_variables_fit(self, given: dict[str, Any] | None) -> None:
        """Checked once for runs that say the same: it takes longer than all else."""
        known = msgspec.json.encode(given)
        if known not in self._fitting:
            layers = [self._job_variables, given]
            deployment_queues.require_run_fits(self._pool, layers, "creating")
            self._fitting.add(known)

    def _queue_id(self, pool_name: str, name: str) -> str:
        if name not in self._queue_ids:
            queue = work_queues.find_or_create(self._tx, pool_name, name, self._mint)
            self._queue_ids[name] = queue.id
        return self._queue_ids[name]

    def _body(self, body: DeploymentFlowRunCreate, parameters: dict[str, Any]) -> FlowRunCreate:
        infrastructure, template = body.infrastructure_document_id, self._template
        if infrastructure is None and template.infrastructure_document_id is not None:
            infrastructure = UUID(template.infrastructure_document_id)
        return FlowRunCreate(
            flow_id=UUID(template.flow_id),
            state=body.state or _due_now(self._mint),
            name=body.name,
            parameters=parameters,
            context=body.context,
            parent_task_run_id=body.parent_task_run_id,
            infrastructure_document_id=infrastructure,
            empirical_policy=body.empirical_policy,
            tags=list(dict.fromkeys([*self._tags, *body.tags])),
            labels=body.labels,
            idempotency_key=body.idempotency_key,
            job_variables=body.job_variables,
            deployment_id=UUID(self._id),
        )


def _due_now(mint: Mint) -> StateBody:
    details = StateDetailsBody(scheduled_time=parse(mint.now()))
    return StateBody(type="SCHEDULED", state_details=details)
