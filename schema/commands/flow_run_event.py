"""The event of a flow run's transition, stored in the transition's own transaction.

Source: `prefect.server.models.events.flow_run_state_change_event`; the labels are those of
Prefect's event catalogue: automations and clients match on them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from lictor.schema.backends.tx import Tx
from lictor.schema.commands.work_events import related_to_run
from lictor.schema.events.event import Event, Resource
from lictor.schema.rules.engine import FlowTransition
from lictor.schema.rules.records import FlowRunRecord, State
from lictor.schema.tables import events
from lictor.schema.times import parse

TIGHT_S = 300.0
"""An event names the one before it when they are less than this far apart."""
MESSAGE_MAX = 100_000
"""Characters of a state's message that an event carries; the middle of longer ones is cut."""

_decode_tags = msgspec.json.Decoder(list[str]).decode


class Surroundings(NamedTuple):
    """What an event tells about a run besides its state; tags and creator as JSON text."""

    flow_name: str
    flow_tags: str
    run_tags: str
    created_by: str | None
    work_queue_id: str | None = None


def publish_transition(tx: Tx, transition: FlowTransition, surroundings: Surroundings) -> None:
    """Store the event of a transition that has written a state; its id is that state's id."""
    state = transition.proposed
    assert state is not None, "a transition that writes no state has no event"
    run, before = transition.run, transition.current
    event = Event(
        occurred=state.timestamp,
        event=f"prefect.flow-run.{state.name}",
        resource={
            "prefect.resource.id": f"prefect.flow-run.{run.id}",
            "prefect.resource.name": run.name,
            "prefect.run-count": str(run.run_count),
            "prefect.state-message": _cut(state.message or ""),
            "prefect.state-name": state.name,
            "prefect.state-timestamp": state.timestamp,
            "prefect.state-type": state.type,
        },
        related=_related(tx, run, surroundings),
        payload={
            "intended": {"from": None if before is None else before.type, "to": state.type},
            "initial_state": None if before is None else _summary(before),
            "validated_state": _summary(state),
        },
        id=state.id,
        follows=before.id if before is not None and _is_tight(before, state) else None,
        received=state.timestamp,
    )
    events.insert(tx, (event,))


def _is_tight(before: State, after: State) -> bool:
    distance = parse(after.timestamp) - parse(before.timestamp)
    return abs(distance.total_seconds()) < TIGHT_S


def _summary(state: State) -> dict[str, Any]:
    summary: dict[str, Any] = {"type": state.type}
    if state.name:
        summary["name"] = state.name
    if state.message:
        summary["message"] = _cut(state.message)
    if state.type == "PAUSED":
        summary["pause_reschedule"] = "true" if state.details.pause_reschedule else "false"
    return summary


def _cut(message: str) -> str:
    if len(message) <= MESSAGE_MAX:
        return message
    half = MESSAGE_MAX // 2
    left_out = len(message) - MESSAGE_MAX
    cut = f"{message[:half]}...{left_out} additional characters...{message[-half:]}"
    return cut if len(cut) < len(message) else message


def _related(tx: Tx, run: FlowRunRecord, surroundings: Surroundings) -> list[Resource]:
    related = [_resource("flow", run.flow_id, "flow", surroundings.flow_name)]
    tags: set[str] = set()
    for text in (surroundings.flow_tags, surroundings.run_tags):
        if text != "[]":
            tags.update(_decode_tags(text))
    if run.deployment_id is not None:
        row = tx.one("SELECT name, tags FROM deployment WHERE id = ?", (run.deployment_id,))
        if row is not None:
            related.append(_resource("deployment", run.deployment_id, "deployment", row[0]))
            tags.update(_decode_tags(row[1]))
    if surroundings.work_queue_id is not None:
        related += related_to_run(tx, surroundings.work_queue_id)
    if run.parent_task_run_id is not None:
        parent = tx.one("SELECT name, tags FROM task_run WHERE id = ?", (run.parent_task_run_id,))
        if parent is not None:
            related.append(_resource("task-run", run.parent_task_run_id, "task-run", parent[0]))
            tags.update(_decode_tags(parent[1]))
    related += [
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
        for tag in sorted(tags)
    ]
    if surroundings.created_by is not None:
        related += _creator(surroundings.created_by)
    return related


def _resource(kind: str, id_: str, role: str, name: str) -> Resource:
    return {
        "prefect.resource.id": f"prefect.{kind}.{id_}",
        "prefect.resource.role": role,
        "prefect.resource.name": name,
    }


def _creator(created_by: str) -> list[Resource]:
    creator = msgspec.json.decode(created_by)
    if creator["type"] not in ("DEPLOYMENT", "AUTOMATION"):
        return []
    resource = _resource(
        creator["type"].lower(), creator["id"], "creator", creator.get("display_value") or ""
    )
    if not creator.get("display_value"):
        del resource["prefect.resource.name"]
    return [resource]
