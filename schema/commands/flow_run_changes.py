"""What requests write to flow runs beside their states: names, tags, parameters, labels.

Source: `prefect.server.api.flow_runs.{update_flow_run,update_flow_run_labels}`.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx, Value
from lictor.schema.commands import deployment_queues, proposals
from lictor.schema.errors import BadRequest, Missing, NotFound
from lictor.schema.mint import Mint
from lictor.schema.names import slug
from lictor.schema.tables import flow_runs as table
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.flow_runs import FlowRunUpdate, Labels


def update(tx: Tx, id_: str, body: FlowRunUpdate, mint: Mint, settings: Settings) -> None:
    """Write the fields that the body names.

    Raises:
        NotFound: the run does not exist.
        BadRequest: job variables can no longer be changed, or nothing says what they mean.
        Invalid: job variables do not fit the work pool.
        InvalidRequest: the parameters are larger than the limit.
    """
    changed: dict[str, Value] = {}
    if body.parameters is not UNSET:
        changed["parameters"] = proposals.sized_parameters(body.parameters, settings)
    row = tx.one("SELECT seq, tags, state_type, deployment_id FROM flow_run WHERE id = ?", (id_,))
    if row is None:
        raise NotFound("Flow run not found")
    seq, tags, state_type, deployment_id = row
    if body.job_variables is not UNSET and body.job_variables is not None:
        if state_type is None:
            raise BadRequest("The flow run has no state; its job variables cannot be updated.")
        if state_type != "SCHEDULED":
            raise BadRequest(f"Job variables of a flow run that is {state_type} cannot be updated.")
        _require_job_variables_fit(tx, deployment_id, body.job_variables)
    if body.job_variables is not UNSET:
        changed["job_variables"] = encode_text(body.job_variables).decode()
    if body.name is not UNSET:
        changed["name"] = body.name or slug(mint)
    if body.flow_version is not UNSET:
        changed["flow_version"] = body.flow_version
    if body.infrastructure_pid is not UNSET:
        changed["infrastructure_pid"] = body.infrastructure_pid
    if body.empirical_policy is not UNSET:
        policy = body.empirical_policy.with_deprecated_fields()
        changed["empirical_policy"] = encode_text(policy).decode()
    if body.tags is not UNSET:
        changed["tags"] = encode_text(body.tags).decode()
        table.delete_tags(tx, "flow_run_tag", [(seq, tags)])
        table.write_tags(tx, "flow_run_tag", seq, body.tags)
    changed["updated"] = mint.now()
    table.update(tx, id_, changed)


def _require_job_variables_fit(
    tx: Tx, deployment_id: str | None, job_variables: dict[str, Raw]
) -> None:
    """Return if job variables fit the pool of the run's deployment, above the deployment's own.

    Raises:
        BadRequest: there is no such deployment.
        Invalid: they do not fit.
    """
    row = tx.one(
        "SELECT work_queue_id, job_variables FROM deployment WHERE id = ?", (deployment_id,)
    )
    if row is None:
        raise BadRequest("A deployment for the flow run could not be found")
    pool = deployment_queues.pool_of_queue(tx, row[0])
    layers = [msgspec.json.decode(text) for text in (row[1], encode_text(job_variables))]
    deployment_queues.require_run_fits(pool, layers, "updating")


def merge_labels(tx: Tx, id_: str, labels: Labels, mint: Mint) -> None:
    """Merge `labels` into the run's; the new ones win.

    Raises:
        Missing: the run does not exist.
    """
    row = tx.one("SELECT labels FROM flow_run WHERE id = ?", (id_,))
    if row is None:
        raise Missing(f"Flow run with id {id_} not found")
    merged = {**proposals.decode_labels(row[0]), **labels}
    table.update(tx, id_, {"labels": encode_text(merged).decode(), "updated": mint.now()})
