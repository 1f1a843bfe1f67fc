"""Slots of runs, as the rules on transitions see them (`schema/rules/world.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import slots
from lictor.schema.commands.proposals import decode_details
from lictor.schema.commands.slots import Wanted
from lictor.schema.mint import Mint
from lictor.schema.rules.slots import TAG_PREFIX, full
from lictor.schema.rules.waiting import HOLDINGS_MAX, wait_s
from lictor.schema.rules.world import DeploymentLimit, NoTagSlots
from lictor.schema.tables import leases
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.times import epoch_s
from lictor.schema.wire.deployments import ConcurrencyOptions

_decode_options = msgspec.json.Decoder(ConcurrencyOptions).decode


class _RunSlots:
    """What both kinds of runs do with leases."""

    __slots__ = ("_holder", "_mint", "_tx")

    def __init__(self, tx: Tx, holder: Holder, mint: Mint) -> None:
        self._tx = tx
        self._holder = holder
        self._mint = mint

    def release_lease(self, lease_id: str) -> None:
        slots.release(self._tx, lease_id, epoch_s(self._mint.now()))


class FlowSlots(_RunSlots):
    """The slot of a deployment's limit that a flow run holds."""

    __slots__ = ()

    def has_deployment(self, deployment_id: str) -> bool:
        row = self._tx.one("SELECT 1 FROM deployment WHERE id = ?", (deployment_id,))
        return row is not None

    def deployment_limit(self, deployment_id: str) -> DeploymentLimit | None:
        row = self._tx.one(
            "SELECT concurrency_limit_id, concurrency_options FROM deployment WHERE id = ?",
            (deployment_id,),
        )
        limit = None if row is None or row[0] is None else table.read(self._tx, row[0])
        if row is None or limit is None:
            return None
        options = None if row[1] is None else _decode_options(row[1])
        return DeploymentLimit(
            limit.id,
            limit.limit,
            limit.active,
            limit.occupied(epoch_s(self._mint.now())),
            options is not None and options.collision_strategy == "CANCEL_NEW",
            None if options is None else options.grace_period_seconds,
        )

    def take_slot(self, limit_id: str, duration_s: float) -> str | None:
        limit, now_at = table.read(self._tx, limit_id), epoch_s(self._mint.now())
        if limit is None or not limit.fits(1, now_at):
            return None
        wanted = Wanted((), 1, holder=self._holder, duration_s=duration_s)
        return slots.lease(self._tx, [limit], wanted, self._mint, now_at)

    def renew_lease(self, lease_id: str, duration_s: float | None) -> bool:
        return leases.renew(self._tx, lease_id, duration_s, epoch_s(self._mint.now()))


class TaskSlots(_RunSlots):
    """The slots of the limits on a task run's tags."""

    __slots__ = ("_settings",)

    def __init__(self, tx: Tx, holder: Holder, mint: Mint, settings: Settings) -> None:
        super().__init__(tx, holder, mint)
        self._settings = settings

    def take_tag_slots(self, tags: Sequence[str]) -> str | NoTagSlots | None:
        tx, now_at = self._tx, epoch_s(self._mint.now())
        names = [TAG_PREFIX + tag for tag in tags]
        limits = [limit for limit in table.read_named(tx, names) if limit.active]
        if not limits or slots.held(tx, self._holder.id, names):
            return None
        closed = [limit.name for limit in limits if limit.limit <= 0]
        if closed:
            return NoTagSlots(_tags(closed), None)
        blocking = full(limits, 1, now_at)
        if blocking:
            waits = [
                wait_s(limit, leases.holdings(tx, limit.seq, HOLDINGS_MAX), 1, 0, now_at)
                for limit in blocking
            ]
            longest_s = min(max(waits), self._settings.tag_slot_wait_max_s)
            return NoTagSlots(_tags([limit.name for limit in blocking]), longest_s)
        return slots.lease(tx, limits, Wanted((), 1, holder=self._holder), self._mint, now_at)

    def release_tag_slots(self, tags: Sequence[str]) -> None:
        names = [TAG_PREFIX + tag for tag in tags]
        slots.release_held(self._tx, self._holder.id, names, epoch_s(self._mint.now()))


def _tags(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(TAG_PREFIX) for name in names)


def forget_flow_run(tx: Tx, id_: str) -> None:
    """Before a flow run is deleted: end the lease on its deployment's slot, and those of its tasks.

    Of its tasks' leases only those without an end: what a client holds it still renews, or not.
    """
    row = tx.one(
        "SELECT s.state_details FROM flow_run fr JOIN flow_run_state s ON s.id = fr.state_id"
        " WHERE fr.id = ? AND fr.deployment_id IS NOT NULL",
        (id_,),
    )
    if row is not None:
        lease_id = decode_details(row[0]).deployment_concurrency_lease_id
        if lease_id is not None:
            leases.delete(tx, lease_id)
    leases.delete_endless_of_tasks(tx, id_)


def forget_task_run(tx: Tx, id_: str) -> None:
    """Before a task run is deleted: end its leases that have no end of their own."""
    leases.delete_endless(tx, id_)
