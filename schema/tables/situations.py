"""What `schema/rules/explanations.py` has to know of a flow run, read in a few look-ups by key."""

from __future__ import annotations

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx
from lictor.schema.events.codec import unpack_moment
from lictor.schema.rules.explanations import Parent, Situation
from lictor.schema.tables import deadlines
from lictor.schema.tables.runs import decode_flow_run_policy
from lictor.schema.times import Timestamp
from lictor.schema.wire.states import SparseStateDetails

_decode_details = msgspec.json.Decoder(SparseStateDetails).decode

_SQL = (
    "SELECT fr.state_type, fr.state_name, fr.state_timestamp, fr.created, s.state_details,"
    " s.message, fr.empirical_policy, fr.next_scheduled_start_time, fr.run_count, fr.deployment_id,"
    " p.id, p.name, p.state_type, p.state_name"
    " FROM flow_run fr LEFT JOIN flow_run_state s ON s.id = fr.state_id"
    " LEFT JOIN task_run tr ON tr.id = fr.parent_task_run_id"
    " LEFT JOIN flow_run p ON p.id = tr.flow_run_id WHERE fr.id = ?"
)


def read(tx: ReadTx, id_: str, now: Timestamp, settings: Settings) -> Situation | None:
    """The situation of the run called `id_`; None if there is none."""
    row = tx.one(_SQL, (id_,))
    if row is None:
        return None
    type_, name, timestamp, created, details, message, policy, next_start = row[:8]
    return Situation(
        now=now,
        settings=settings,
        state_type=type_,
        state_name=name or "",
        since=timestamp or created,
        details=_decode_details(details or "{}"),
        message=message,
        policy=decode_flow_run_policy(policy),
        next_start=next_start,
        run_count=row[8],
        deployment_id=row[9],
        last_heartbeat=_last_heartbeat(tx, id_) if type_ == "RUNNING" else None,
        parent=None if row[10] is None else Parent(*row[10:]),
    )


def _last_heartbeat(tx: ReadTx, id_: str) -> Timestamp | None:
    beats = deadlines.last_beats(tx, id_)
    if beats is None:
        return None
    row = tx.one("SELECT received FROM event WHERE seq = ?", (beats.seq,))
    return None if row is None else unpack_moment(row[0])
