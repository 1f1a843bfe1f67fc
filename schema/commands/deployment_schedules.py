"""What requests do to the schedules of deployments, and to the runs that these have made.

Source: `prefect.server.models.deployments`, `prefect.server.api.deployments`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw, UnsetType

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import flow_runs
from lictor.schema.errors import Conflict, Invalid, NotFound
from lictor.schema.mint import Mint
from lictor.schema.tables import deployment_schedules as table
from lictor.schema.tables.flow_runs import delete_tags
from lictor.schema.tables.runs import encode_text
from lictor.schema.times import Timestamp, parse
from lictor.schema.wire.deployments import (
    DeploymentSchedule,
    ScheduleCreate,
    ScheduleUpdate,
)


class SchedulesChanged(msgspec.Struct, frozen=True):
    """Published when the runs that a deployment should have scheduled may be others than before."""

    deployment_id: str


def create(
    tx: Tx, deployment_id: str, bodies: Sequence[ScheduleCreate], mint: Mint
) -> list[DeploymentSchedule]:
    """New schedules of a deployment.

    Raises:
        NotFound: there is no such deployment.
        Conflict: a slug is taken.
    """
    _require_deployment(tx, deployment_id)
    made = [insert(tx, deployment_id, body, mint) for body in bodies]
    tx.publish(SchedulesChanged(deployment_id))
    return made


def insert(tx: Tx, deployment_id: str, body: ScheduleCreate, mint: Mint) -> DeploymentSchedule:
    """Store one schedule of a deployment that exists. Raises `Conflict`: its slug is taken."""
    _require_free_slug(tx, deployment_id, body.slug)
    now = mint.now()
    schedule = DeploymentSchedule(
        mint.id(),
        now,
        now,
        deployment_id,
        Raw(encode_text(body.schedule.schedule(parse(now)))),
        body.active,
        body.max_scheduled_runs,
        Raw(encode_text(body.parameters)),
        body.slug,
    )
    table.insert(tx, schedule)
    return schedule


def update(tx: Tx, deployment_id: str, id_: str, body: ScheduleUpdate, mint: Mint) -> None:
    """Write the fields of a schedule that are not null, and its parameters.

    Raises:
        NotFound: there is no such deployment, or it has no such schedule.
        Conflict: the new slug is taken.
    """
    _require_deployment(tx, deployment_id)
    if not _write(tx, deployment_id, id_, body, mint):
        raise NotFound("Schedule not found.")
    delete_scheduled_runs(tx, deployment_id, after=mint.now())
    tx.publish(SchedulesChanged(deployment_id))


def _write(tx: Tx, deployment_id: str, id_: str, body: ScheduleUpdate, mint: Mint) -> bool:
    now = mint.now()
    changes: dict[str, Value] = {
        "parameters": encode_text(body.parameters).decode(),
        "updated": now,
    }
    if body.schedule is not None:
        changes["schedule"] = encode_text(body.schedule.schedule(parse(now))).decode()
    if body.active is not None:
        changes["active"] = int(body.active)
    if body.max_scheduled_runs is not None:
        changes["max_scheduled_runs"] = body.max_scheduled_runs
    if body.slug is not None:
        _require_free_slug(tx, deployment_id, body.slug, but=id_)
        changes["slug"] = body.slug
    return table.update(tx, deployment_id, id_, changes)


def delete(tx: Tx, deployment_id: str, id_: str) -> None:
    """Delete a schedule, and the runs it has made that have not started.

    Raises:
        NotFound: there is no such deployment, or it has no such schedule.
    """
    _require_deployment(tx, deployment_id)
    if not table.delete(tx, deployment_id, id_):
        raise NotFound("Schedule not found.")
    delete_scheduled_runs(tx, deployment_id)
    tx.publish(SchedulesChanged(deployment_id))


def read_of(tx: ReadTx, deployment_id: str) -> list[DeploymentSchedule]:
    """The schedules of a deployment. Raises `NotFound`: there is no such deployment."""
    _require_deployment(tx, deployment_id)
    return table.read_of(tx, deployment_id)


class Plan(msgspec.Struct, frozen=True):
    """What a change of a deployment does to its schedules.

    Either all are replaced by `replacement`, or those in `changed` (with the id of each) are
    changed and those in `added` made.
    """

    replacement: Sequence[ScheduleUpdate] | None = None
    changed: Sequence[tuple[str, ScheduleUpdate]] = ()
    added: Sequence[ScheduleUpdate] = ()


def plan(tx: ReadTx, deployment_id: str, asked: list[ScheduleUpdate] | UnsetType) -> Plan:
    """What to do for the schedules in the body of a PATCH.

    Where every schedule has a slug, it says which one is meant, and the others stay. Where one has
    none, all are replaced.

    Raises:
        Invalid: slugs are missing, collide or name nothing that could be made.
    """
    if isinstance(asked, UnsetType):
        return Plan()
    existing = table.read_of(tx, deployment_id)
    if not existing or any(schedule.slug is None for schedule in existing):
        return Plan(replacement=[body for body in asked if body.schedule is not None])
    if any(body.slug is None for body in asked):
        raise Invalid(
            "Please provide a slug for each schedule in your request to ensure schedules are"
            " updated correctly."
        )
    ids = {schedule.slug: schedule.id for schedule in existing}
    _check_renames(asked, set(ids))
    changed: list[tuple[str, ScheduleUpdate]] = []
    added: list[ScheduleUpdate] = []
    for body in asked:
        id_ = ids.get(body.replaces or body.slug)
        if id_ is not None:
            changed.append((id_, body))
        elif body.schedule is not None:
            added.append(body)
        else:
            raise Invalid(
                "Unable to create new deployment schedules without a schedule configuration."
            )
    return Plan(changed=changed, added=added)


def _check_renames(asked: Sequence[ScheduleUpdate], existing: set[str | None]) -> None:
    """Raises `Invalid` when two take one slug's place, or a new slug belongs to another."""
    replaced: set[str] = set()
    for body in asked:
        if body.replaces:
            if body.replaces in replaced:
                raise Invalid(
                    f"Multiple schedules have 'replaces' targeting the same slug: {body.replaces}"
                )
            replaced.add(body.replaces)
    for body in asked:
        if body.replaces and body.slug in existing and body.slug not in replaced:
            raise Invalid(
                f"Cannot rename schedule from '{body.replaces}' to '{body.slug}':"
                f" a schedule with slug '{body.slug}' already exists."
            )


def apply(tx: Tx, deployment_id: str, plan: Plan, mint: Mint) -> None:
    """Do what was planned in this transaction. Raises `Conflict`: a slug is given twice."""
    if plan.replacement is not None:
        replace_all(tx, deployment_id, [_as_new(body) for body in plan.replacement], mint)
        return
    for id_, body in plan.changed:
        if body.replaces:
            # All old slugs go before a new one comes, so that two schedules may swap theirs.
            table.update(tx, deployment_id, id_, {"slug": None})
    for id_, body in plan.changed:
        _write(tx, deployment_id, id_, body, mint)
    for body in plan.added:
        insert(tx, deployment_id, _as_new(body), mint)


def replace_all(tx: Tx, deployment_id: str, bodies: Sequence[ScheduleCreate], mint: Mint) -> None:
    """Let these be the schedules of a deployment that exists; `max_scheduled_runs` is not kept."""
    table.delete_of(tx, deployment_id)
    for body in bodies:
        insert(tx, deployment_id, msgspec.structs.replace(body, max_scheduled_runs=None), mint)


def _as_new(body: ScheduleUpdate) -> ScheduleCreate:
    assert body.schedule is not None
    return ScheduleCreate(
        schedule=body.schedule,
        active=body.active is not False,
        parameters=body.parameters,
        slug=body.slug,
    )


_UNSTARTED = (
    "deployment_id = ? AND state_type = 'SCHEDULED' AND run_count = 0"
    " AND state_name <> 'AwaitingConcurrencySlot'"
)


def delete_scheduled_runs(tx: Tx, deployment_id: str, *, after: Timestamp | None = None) -> None:
    """Delete the runs that schedules of the deployment have made and that never ran.

    With `after`, only those that are due later than that.
    """
    due = "" if after is None else " AND next_scheduled_start_time > ?"
    where = f"{_UNSTARTED} AND auto_scheduled = 1{due}"
    args = (deployment_id,) if after is None else (deployment_id, after)
    delete_tags(tx, "flow_run_tag", tx.all(f"SELECT seq, tags FROM flow_run WHERE {where}", args))
    tx.run(f"DELETE FROM flow_run WHERE {where}", args)


def delete_all_scheduled_runs(tx: Tx, deployment_id: str) -> None:
    """Delete every run of the deployment that never ran, whoever made it."""
    delete_scheduled_runs(tx, deployment_id)
    rows = tx.all(f"SELECT id FROM flow_run WHERE {_UNSTARTED}", (deployment_id,))
    for (id_,) in rows:
        flow_runs.delete(tx, id_)


def _require_deployment(tx: ReadTx, id_: str) -> None:
    if tx.one("SELECT 1 FROM deployment WHERE id = ?", (id_,)) is None:
        raise NotFound("Deployment not found.")


def _require_free_slug(
    tx: ReadTx, deployment_id: str, slug: str | None, but: str | None = None
) -> None:
    """Raises `Conflict` when a schedule other than `but` has this slug."""
    if slug is None:
        return
    row = tx.one(
        "SELECT id FROM deployment_schedule WHERE deployment_id = ? AND slug = ?",
        (deployment_id, slug),
    )
    if row is not None and row[0] != but:
        raise Conflict("Schedule slugs must be unique within a deployment.")
