"""The events of deployments: made, changed, deleted.

Source: `prefect.server.models.events.{deployment_created_event,_deployment_related_resources}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands.work_events import related_to_run
from lictor.schema.events.event import RESOURCE_ID, RESOURCE_NAME, Event, Resource
from lictor.schema.events.lifecycle import Action, lifecycle_event
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import Status, status_word
from lictor.schema.tables import events

_FLAGS = frozenset({"paused", "enforce_parameter_schema"})
_JSON = frozenset(
    {
        "tags", "parameters", "parameter_openapi_schema", "pull_steps", "infra_overrides",
        "labels", "concurrency_options",
    }
)  # fmt: skip


def publish(
    tx: Tx, id_: str, action: Action, mint: Mint, payload: dict[str, Any] | None = None
) -> None:
    """Store the event of a deployment, which must (still) exist."""
    name, related = _surroundings(tx, id_)
    event = lifecycle_event(mint, "deployment", action, id_, name, payload or {}, related=related)
    events.insert(tx, [event])


def publish_status(tx: Tx, id_: str, status: Status, mint: Mint) -> None:
    """Store that a deployment, which must exist, has come to be `status`."""
    name, related = _surroundings(tx, id_)
    now = mint.now()
    event = Event(
        occurred=now,
        event=f"prefect.deployment.{status_word(status)}",
        resource={RESOURCE_ID: f"prefect.deployment.{id_}", RESOURCE_NAME: name},
        related=related,
        payload={},
        id=mint.id(),
        follows=None,
        received=now,
    )
    events.insert(tx, [event])


def publish_changes(
    tx: Tx, id_: str, before: Mapping[str, Value], after: Mapping[str, Value], mint: Mint
) -> None:
    """Store the event of a change, with what was and what is; none if nothing differs."""
    updates = {
        name: {"from": _value(name, old), "to": _value(name, after[name])}
        for name, old in before.items()
        if old != after[name]
    }
    if updates:
        payload = {"updated_fields": list(updates), "updates": updates}
        publish(tx, id_, "updated", mint, payload)


def _value(name: str, stored: Value) -> Any:
    """What a column holds, as the event tells it."""
    if name in _FLAGS:
        return bool(stored)
    if name in _JSON and isinstance(stored, str):
        return msgspec.json.decode(stored)
    return stored


def _surroundings(tx: ReadTx, id_: str) -> tuple[str, list[Resource]]:
    """The name of a deployment and what its events are related to."""
    row = tx.one(
        "SELECT d.name, d.flow_id, f.name, d.storage_document_id, d.infrastructure_document_id,"
        " d.concurrency_limit_id, d.work_queue_id"
        " FROM deployment d JOIN flow f ON f.id = d.flow_id WHERE d.id = ?",
        (id_,),
    )
    assert row is not None
    name, flow_id, flow_name, storage, infrastructure, limit_id, queue_id = row
    related = [_resource("flow", flow_id, "flow", flow_name)]
    if queue_id is not None:
        related += related_to_run(tx, queue_id)
    if storage is not None:
        related.append(_resource("block-document", storage, "storage"))
    if infrastructure is not None:
        related.append(_resource("block-document", infrastructure, "infrastructure"))
    if limit_id is not None:
        related.append(_resource("concurrency-limit", limit_id, "concurrency-limit"))
    return name, related


def _resource(kind: str, id_: str, role: str, name: str | None = None) -> Resource:
    resource = {
        "prefect.resource.id": f"prefect.{kind}.{id_}",
        "prefect.resource.role": role,
    }
    if name is not None:
        resource["prefect.resource.name"] = name
    return resource
