"""A deployment's concurrency limit: a row of its own, or one that it shares.

Its own is called `deployment:<id>`. Only that is ever changed or deleted here; from a limit that
others may use too, a deployment is merely unlinked.

Source: `prefect.server.models.deployments._create_or_update_deployment_concurrency_limit`, which
does not tell the two apart.
"""

from __future__ import annotations

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.errors import NotFound
from lictor.schema.mint import Mint
from lictor.schema.rules.slots import OCCUPANCY_S, Limit
from lictor.schema.tables import limits as table
from lictor.schema.times import epoch_s

PREFIX = "deployment:"
"""How the names of deployments' own limits begin."""


def require_shared(tx: ReadTx, limit_id: str) -> None:
    """Raises `NotFound` unless there is a limit with this id."""
    if tx.one("SELECT 1 FROM concurrency_limit WHERE id = ?", (limit_id,)) is None:
        raise NotFound("Concurrency limit not found")


def set_own(tx: Tx, deployment_id: str, slots_max: int, mint: Mint) -> None:
    """Let so many runs of the deployment be active at once.

    A limit it shares that says the same is kept; else it gets one of its own.
    """
    row = tx.one("SELECT concurrency_limit_id FROM deployment WHERE id = ?", (deployment_id,))
    assert row is not None
    linked = None if row[0] is None else table.read(tx, row[0])
    if linked is not None and linked.limit == slots_max:
        return
    own, now = table.read_by_name(tx, PREFIX + deployment_id), mint.now()
    if own is None:
        own = table.insert(
            tx,
            Limit(
                0, mint.id(), now, now, PREFIX + deployment_id, True, slots_max, 0.0, OCCUPANCY_S,
                0.0, epoch_s(now), 0,
            ),
        )  # fmt: skip
    else:
        table.update(tx, own.seq, {"capacity": slots_max, "updated": now})
    tx.run("UPDATE deployment SET concurrency_limit_id = ? WHERE id = ?", (own.id, deployment_id))


def unset(tx: Tx, deployment_id: str) -> None:
    """Take the limit off the deployment; its own is deleted, a shared one stays with the others."""
    tx.run("UPDATE deployment SET concurrency_limit_id = NULL WHERE id = ?", (deployment_id,))
    delete_own(tx, deployment_id)


def delete_own(tx: Tx, deployment_id: str) -> None:
    """Delete the limit that is the deployment's alone, if it has one."""
    own = table.read_by_name(tx, PREFIX + deployment_id)
    if own is not None:
        table.delete(tx, own.seq)
