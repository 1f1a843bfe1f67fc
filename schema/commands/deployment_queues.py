"""The work queue of a deployment, and whether job variables fit the pool that it is in.

Source: `prefect.server.api.deployments`, `prefect.server.api.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import work_pools, work_queues
from lictor.schema.errors import Conflict, Invalid, NotFound
from lictor.schema.mint import Mint
from lictor.schema.rules import job_templates, json_schema
from lictor.schema.rules.work_status import AGENT_POOL
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.deployments import (
    DeploymentCreate,
    DeploymentUpdate,
    WorkQueueOfDeployment,
)
from lictor.schema.wire.work_queues import WorkQueueCreate

QUEUES_MAX = 1000
"""Queues that are looked at for one deployment."""

Layers = Iterable[Mapping[str, Any] | None]


def columns(tx: Tx, body: DeploymentCreate | DeploymentUpdate, mint: Mint) -> dict[str, Value]:
    """The columns for the queue that the body names; a queue that its pool lacks is made.

    Raises:
        NotFound: there is no such pool.
    """
    found: dict[str, Value] = {}
    if body.work_queue_name is not UNSET:
        found["work_queue_name"] = body.work_queue_name
    name = body.work_queue_name or None
    if body.work_pool_name:
        found["work_queue_id"] = work_queues.find_or_create(tx, body.work_pool_name, name, mint).id
    elif body.work_pool_name is None and isinstance(body, DeploymentUpdate):
        found["work_queue_id"] = None
    elif name is not None:
        queue = work_pools.find_queue_without_pool(tx, name)
        if queue is None:
            queue = work_pools.create_queue_without_pool(
                tx, WorkQueueCreate(name=name, priority=1), mint
            )
        found["work_queue_id"] = queue.id
    return found


def require_fit_to_create(tx: ReadTx, body: DeploymentCreate) -> None:
    """Return if the pool exists and the job variables of a new deployment fit it.

    Raises:
        NotFound: there is no such pool.
        Invalid: they do not fit.
    """
    if not body.work_pool_name or body.work_pool_name == AGENT_POOL:
        return
    template = _template_of_pool(tx, body.work_pool_name)
    if body.job_variables is UNSET or not body.job_variables:
        return
    try:
        job_templates.check_variables(template, [_plain(body.job_variables)], required=False)
    except json_schema.InvalidValue as error:
        raise Invalid(f"Error creating deployment: {error}") from error


def require_fit_to_update(tx: ReadTx, body: DeploymentUpdate) -> None:
    """Return if the pool that a change names exists and the job variables in it fit.

    Raises:
        NotFound: there is no such pool.
        Conflict: they do not fit.
    """
    if not body.work_pool_name:
        return
    template = _template_of_pool(tx, body.work_pool_name)
    schema = template.get("variables")
    if schema is None or body.job_variables is UNSET or body.job_variables is None:
        return
    try:
        variables = _plain(body.job_variables)
        json_schema.check(variables, schema, may_be_partial=True, with_formats=True)
    except (json_schema.InvalidValue, json_schema.UnusableSchema) as error:
        raise Conflict(f"Error updating deployment: {error}") from error


class PoolOfDeployment(NamedTuple):
    """The pool behind a deployment's queue; the template as JSON text."""

    name: str
    base_job_template: str


def pool_of_queue(tx: ReadTx, work_queue_id: str | None) -> PoolOfDeployment | None:
    """The pool that this queue is in; None if there is no such queue."""
    if work_queue_id is None:
        return None
    row = tx.one(
        "SELECT wp.name, wp.base_job_template FROM work_queue wq"
        " JOIN work_pool wp ON wp.id = wq.work_pool_id WHERE wq.id = ?",
        (work_queue_id,),
    )
    return None if row is None else PoolOfDeployment(*row)


def require_run_fits(pool: PoolOfDeployment | None, layers: Layers, doing: str) -> None:
    """Return if the job variables of a run, all in `layers`, fit its pool; without one, always.

    Raises:
        Invalid: they do not; `doing` begins the sentence.
        NotFound: a default of the pool refers to a block that does not exist.
    """
    if pool is None or pool.base_job_template == "{}":
        return
    template = msgspec.json.decode(pool.base_job_template)
    try:
        job_templates.check_variables(template, layers, required=True)
    except json_schema.InvalidValue as error:
        raise Invalid(f"Error {doing} flow run: {error}") from error


def that_may_serve(tx: ReadTx, deployment_id: str) -> list[WorkQueueOfDeployment]:
    """The queues whose filter, if they have one, lets the deployment's runs through.

    Raises:
        NotFound: there is no such deployment.
    """
    row = tx.one("SELECT tags FROM deployment WHERE id = ?", (deployment_id,))
    if row is None:
        raise NotFound("Deployment not found")
    tags = set(msgspec.json.decode(row[0]))
    rows = tx.all(
        "SELECT id, created, updated, name, description, is_paused, concurrency_limit, priority,"
        " work_pool_id, filter, last_polled FROM work_queue ORDER BY name, seq LIMIT ?",
        (QUEUES_MAX,),
    )
    return [_queue(*each) for each in rows if _lets_through(each[9], deployment_id, tags)]


def _queue(
    id_: str,
    created: str,
    updated: str,
    name: str,
    description: str | None,
    is_paused: int,
    limit: int | None,
    priority: int,
    work_pool_id: str,
    queue_filter: str | None,
    last_polled: str | None,
) -> WorkQueueOfDeployment:
    return WorkQueueOfDeployment(
        id_, created, updated, name, description, is_paused == 1, limit, priority, work_pool_id,
        None if queue_filter is None else Raw(queue_filter), last_polled,
    )  # fmt: skip


def _lets_through(queue_filter: str | None, deployment_id: str, tags: set[str]) -> bool:
    if queue_filter is None:
        return True
    asked = msgspec.json.decode(queue_filter)
    ids = asked.get("deployment_ids")
    return tags.issuperset(asked.get("tags") or ()) and (not ids or deployment_id in ids)


def _template_of_pool(tx: ReadTx, name: str) -> dict[str, Any]:
    row = tx.one("SELECT base_job_template FROM work_pool WHERE name = ?", (name,))
    if row is None:
        raise NotFound(f'Work pool "{name}" not found.')
    template: dict[str, Any] = msgspec.json.decode(row[0])
    return template


def _plain(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Job variables that a request has kept to the letter, decoded."""
    plain: dict[str, Any] = msgspec.json.decode(encode_text(variables))
    return plain
