"""What requests do to concurrency limits themselves: make, change, delete, reset.

Source: `prefect.server.models.concurrency_limits_v2`, `prefect.server.api.concurrency_limits`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import UNSET, structs

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import slots
from lictor.schema.errors import IntegrityConflict
from lictor.schema.events.lifecycle import Action, lifecycle_event
from lictor.schema.mint import Mint
from lictor.schema.rules.slots import OCCUPANCY_S, TAG_PREFIX, Limit
from lictor.schema.tables import events, leases
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.times import epoch_s
from lictor.schema.wire.concurrency_limits import LimitCreate, LimitUpdate


def find(tx: ReadTx, id_: str | None, name: str | None) -> Limit | None:
    """The limit with this id or, without an id, this name."""
    if id_ is not None:
        return table.read(tx, id_)
    return None if name is None else table.read_by_name(tx, name)


def create(tx: Tx, body: LimitCreate, mint: Mint) -> Limit:
    """A new limit.

    Raises:
        IntegrityConflict: the name is taken.
    """
    _require_free(tx, body.name)
    limit = _new(
        mint,
        body.name,
        body.limit,
        active=body.active,
        decay_per_s=body.slot_decay_per_second,
        loose_slots=float(body.active_slots),
    )
    return _store(tx, limit, mint)


def _new(
    mint: Mint,
    name: str,
    slots_max: int,
    *,
    active: bool = True,
    decay_per_s: float = 0.0,
    loose_slots: float = 0.0,
) -> Limit:
    now = mint.now()
    return Limit(
        0, mint.id(), now, now, name, active, slots_max, decay_per_s, OCCUPANCY_S, loose_slots,
        epoch_s(now), 0,
    )  # fmt: skip


def _store(tx: Tx, limit: Limit, mint: Mint) -> Limit:
    stored = table.insert(tx, limit)
    _publish(tx, stored, "created", mint)
    return stored


def update(tx: Tx, id_: str | None, name: str | None, body: LimitUpdate, mint: Mint) -> bool:
    """Write the fields that are in the body; False if there is no such limit.

    It is told of even if nothing differs from before, as Prefect tells of each request.
    `active_slots` counts the slots of live leases too: what it says beyond them is in use without a
    lease. It takes no lease from its holder.

    Raises:
        IntegrityConflict: the new name is taken, or a field is null.
    """
    limit = find(tx, id_, name)
    if limit is None:
        return False
    given = {key: value for key, value in structs.asdict(body).items() if value is not UNSET}
    if None in given.values():
        raise IntegrityConflict(f"a field of the concurrency limit {limit.name} is null")
    given.pop("denied_slots", None)
    if given.get("name", limit.name) != limit.name:
        _require_free(tx, given["name"])
    in_use, now_at = given.pop("active_slots", None), epoch_s(mint.now())
    changed = structs.replace(limit, **{_FIELDS[field]: value for field, value in given.items()})
    if in_use is not None or changed.decay_per_s != limit.decay_per_s:
        changed = _in_use(changed, limit.occupied(now_at) if in_use is None else in_use, now_at)
    _write(tx, changed, mint)
    return True


_FIELDS = {
    "active": "active",
    "name": "name",
    "limit": "limit",
    "slot_decay_per_second": "decay_per_s",
}


def _in_use(limit: Limit, in_use: float, now_at: float) -> Limit:
    """The limit with so many slots in use, under the decay it has."""
    if limit.decay_per_s:
        return structs.replace(limit, loose_slots=float(in_use), loose_at=now_at)
    return structs.replace(
        limit, loose_slots=float(max(0, math.floor(in_use) - limit.leased_slots))
    )


def _write(tx: Tx, limit: Limit, mint: Mint) -> Limit:
    """Store a limit that has changed, with the event of it."""
    written = structs.replace(limit, updated=mint.now())
    columns: dict[str, Value] = {
        "name": written.name,
        "active": int(written.active),
        "capacity": written.limit,
        "decay_per_s": written.decay_per_s,
        "loose_slots": written.loose_slots,
        "loose_at": written.loose_at,
        "updated": written.updated,
    }
    table.update(tx, written.seq, columns)
    _publish(tx, written, "updated", mint)
    return written


def delete(tx: Tx, id_: str | None, name: str | None, mint: Mint) -> bool:
    """Delete a limit; leases over it stay, without it. False if there is no such limit."""
    limit = find(tx, id_, name)
    if limit is None:
        return False
    _publish(tx, limit, "deleted", mint)
    table.delete(tx, limit.seq)
    return True


# Limits on tags, as the first version of the API has them


def set_for_tag(tx: Tx, tag: str, slots_max: int, mint: Mint) -> tuple[Limit, bool]:
    """The limit on a tag, made or changed, and whether it is new."""
    limit = table.read_by_name(tx, TAG_PREFIX + tag)
    if limit is None:
        made = _store(tx, _new(mint, TAG_PREFIX + tag, slots_max), mint)
        return made, True
    return _write(tx, structs.replace(limit, limit=slots_max), mint), False


def reset_tag(tx: Tx, tag: str, task_run_ids: Sequence[str], mint: Mint) -> bool:
    """End every lease on a tag, and give a slot to each of these task runs, free or not.

    False if there is no limit on the tag.
    """
    limit = table.read_by_name(tx, TAG_PREFIX + tag)
    if limit is None:
        return False
    _end_leases(tx, limit, mint)
    table.set_loose(tx, limit.seq, 0.0, epoch_s(mint.now()))
    for task_run_id in task_run_ids:
        emptied = table.read_by_name(tx, limit.name)
        assert emptied is not None
        holder = Holder("task_run", task_run_id)
        wanted = slots.Wanted((), 1, holder=holder)
        slots.lease(tx, [emptied], wanted, mint, epoch_s(mint.now()))
    return True


def delete_with_leases(tx: Tx, id_: str | None, name: str | None, mint: Mint) -> bool:
    """Delete a limit and end every lease over it. False if there is no such limit."""
    limit = find(tx, id_, name)
    if limit is None:
        return False
    _end_leases(tx, limit, mint)
    return delete(tx, limit.id, None, mint)


def _end_leases(tx: Tx, limit: Limit, mint: Mint) -> None:
    now_at = epoch_s(mint.now())
    for lease_id in leases.on_limit(tx, limit.seq):
        slots.release(tx, lease_id, now_at)


def _require_free(tx: Tx, name: str) -> None:
    if tx.one("SELECT 1 FROM concurrency_limit WHERE name = ?", (name,)) is not None:
        raise IntegrityConflict(f"there is a concurrency limit called {name!r}")


def _publish(tx: Tx, limit: Limit, action: Action, mint: Mint) -> None:
    payload = {
        "name": limit.name,
        "limit": limit.limit,
        "active": limit.active,
        "slot_decay_per_second": limit.decay_per_s,
    }
    event = lifecycle_event(mint, "concurrency-limit", action, limit.id, limit.name, payload)
    events.insert(tx, [event])
