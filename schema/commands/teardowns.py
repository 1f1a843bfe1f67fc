"""Which infrastructure is to be torn down: what puts messages into the clean-up queue.

Source: `prefect.server.services.cancellation_cleanup.handle_cancelling_timeout`.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from lictor.schema.backends.tx import Tx
from lictor.schema.commands import cleanup
from lictor.schema.commands.cleanup import NewMessage
from lictor.schema.mint import Mint
from lictor.schema.wire.worker_channel import CANCELLING_TIMEOUT

WORKERLESS = (":push", ":managed")
"""How the types of pools end that have no workers."""


def of_cancelled_run(tx: Tx, flow_run_id: str, state_id: str, mint: Mint) -> bool:
    """Have a worker stop what is left of a run that was declared CANCELLED; whether one can.

    Nobody can when the run's queue is gone or it never had one, and in a pool without workers.
    `state_id`: the CANCELLED state, for which the message is enqueued once.
    """
    row = tx.one(
        "SELECT fr.infrastructure_pid, q.id, q.work_pool_id, p.type FROM flow_run fr"
        " JOIN work_queue q ON q.id = fr.work_queue_id JOIN work_pool p ON p.id = q.work_pool_id"
        " WHERE fr.id = ?",
        (flow_run_id,),
    )
    if row is None:
        return False
    infrastructure_pid, work_queue_id, work_pool_id, type_ = row
    if type_.endswith(WORKERLESS):
        return False
    key = f"{CANCELLING_TIMEOUT}:{flow_run_id}:{state_id}"
    message = NewMessage(
        str(uuid5(NAMESPACE_URL, f"prefect:{key}")),
        key,
        work_pool_id,
        work_queue_id,
        CANCELLING_TIMEOUT,
        {"flow_run_id": flow_run_id, "infrastructure_pid": infrastructure_pid},
    )
    cleanup.enqueue(tx, message, mint)
    return True
