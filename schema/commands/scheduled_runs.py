"""The runs that schedules make.

Planning reads and computes dates; storing is a write. Between the two the schedule may change: then
the plan is dropped, and the schedule is due still.

Source: `prefect.server.models.deployments.{schedule_runs,_generate_scheduled_flow_runs,
_insert_scheduled_flow_runs}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.mint import Mint
from lictor.schema.names import slug
from lictor.schema.rules.horizon import Bounds, dates_ahead, next_look
from lictor.schema.tables import state_rows
from lictor.schema.tables.deadlines import RunsInserted
from lictor.schema.tables.flow_runs import write_tags
from lictor.schema.tables.runs import encode_text
from lictor.schema.times import Timestamp, parse, text
from lictor.schema.wire import schedules
from lictor.schema.wire.states import SparseStateDetails

AUTO_TAG = "auto-scheduled"
_MESSAGE = "Flow run scheduled"
_decode_parameters = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_moments = msgspec.json.Decoder(list[str]).decode


class Source(NamedTuple):
    """A schedule with what its deployment gives to the runs; JSON columns as text."""

    schedule_id: str
    schedule: str
    slug: str | None
    schedule_parameters: str
    active: int
    deployment_id: str
    paused: int
    flow_id: str
    version: str | None
    work_queue_id: str | None
    work_queue_name: str | None
    parameters: str
    tags: str
    labels: str
    infrastructure_document_id: str | None
    made: str
    due: Timestamp | None


_SELECT = (
    "SELECT ds.id, ds.schedule, ds.slug, ds.parameters, ds.active, d.id, d.paused, d.flow_id,"
    " d.version, d.work_queue_id, d.work_queue_name, d.parameters, d.tags, d.labels,"
    " d.infrastructure_document_id, h.made, h.due"
    " FROM deployment_schedule ds CROSS JOIN deployment d ON d.id = ds.deployment_id"
    " CROSS JOIN schedule_horizon h ON h.schedule_id = ds.id"
)


class Plan(NamedTuple):
    """The dates to make runs for, the last dates made then, and when to look again.

    Not `is_whole`: other parts of the plan follow, and only the last one is noted as made.
    """

    source: Source
    dates: list[datetime]
    made: str
    due: Timestamp | None
    is_whole: bool = True


def read(tx: ReadTx, schedule_id: str) -> Source | None:
    """The schedule called `schedule_id`."""
    row = tx.one(f"{_SELECT} WHERE ds.id = ?", (schedule_id,))
    return None if row is None else Source(*row)


def bounds(now: datetime, settings: Settings) -> Bounds:
    """How far the runs of a schedule reach."""
    return Bounds(
        now,
        now + timedelta(seconds=settings.scheduler_ahead_max_s),
        settings.scheduler_ahead_min_s,
        settings.scheduler_runs_min,
        settings.scheduler_runs_max,
    )


def plan(source: Source, now: Timestamp, settings: Settings) -> Plan:
    """What is to be done for a schedule. Nothing while it is inactive or its deployment paused."""
    if source.paused or not source.active:
        return Plan(source, [], "[]", None)
    reach = bounds(parse(now), settings)
    made = [parse(moment) for moment in _decode_moments(source.made)]
    dates = dates_ahead(schedules.stored(source.schedule), reach, made)
    made += dates
    look = next_look(reach, made, settings.scheduler_rest_s)
    last = [text(date) for date in made[-reach.runs_min :]]
    return Plan(source, dates, encode_text(last).decode(), text(look))


def jobs(plans: Iterable[Plan], writes_max: int) -> Iterator[list[Plan]]:
    """What to store in one job after the other, in order, each of at most so many writes.

    A plan of many runs is stored in parts. Whoever is cut off between them is due still, and makes
    no run twice; whoever changes the schedule between them deletes what is there.
    """
    job: list[Plan] = []
    left = writes_max
    for plan in plans:
        for part in _parts(plan, writes_max - 1):
            writes = len(part.dates) + 1
            if writes > left:
                yield job
                job, left = [], writes_max
            job.append(part)
            left -= writes
    if job:
        yield job


def _parts(plan: Plan, runs_max: int) -> Iterator[Plan]:
    count = len(plan.dates)
    for first in range(0, max(count, 1), runs_max):
        behind = first + runs_max
        yield plan._replace(dates=plan.dates[first:behind], is_whole=behind >= count)


def store(tx: Tx, plan: Plan, mint: Mint) -> int:
    """Make the planned runs; how many are new. None if the schedule is not as it was read."""
    source = plan.source
    if read(tx, source.schedule_id) != source:
        return 0
    if plan.is_whole:
        tx.run(
            "UPDATE schedule_horizon SET made = ?, due = ? WHERE schedule_id = ?",
            (plan.made, plan.due, source.schedule_id),
        )
    return insert(tx, source, plan.dates, mint)


def newest_made(tx: ReadTx) -> Timestamp | None:
    """When the newest run was made, by the clock of that time."""
    row = tx.one("SELECT created FROM flow_run ORDER BY seq DESC LIMIT 1")
    return None if row is None else row[0]


def forget_made(tx: Tx) -> None:
    """Let every schedule that makes runs be filled anew, at once."""
    tx.run(
        "UPDATE schedule_horizon SET made = '[]', due = '0001-01-01T00:00:00.000000Z'"
        " WHERE due IS NOT NULL"
    )


class Wanted(NamedTuple):
    """The dates that a request wants runs for, of one schedule."""

    source: Source
    dates: list[datetime]


def active_schedules(tx: ReadTx, deployment_id: str) -> list[str]:
    """The ids of the deployment's active schedules, though it be paused."""
    sql = "SELECT id FROM deployment_schedule WHERE deployment_id = ? AND active = 1 ORDER BY seq"
    return [id_ for (id_,) in tx.all(sql, (deployment_id,))]


def wanted(tx: ReadTx, schedule_id: str, reach: Bounds) -> Wanted | None:
    """The dates of a schedule in these bounds, `DATES_MAX` at most; None if it is not active."""
    source = read(tx, schedule_id)
    if source is None or not source.active:
        return None
    return Wanted(source, dates_ahead(schedules.stored(source.schedule), reach))


def store_wanted(tx: Tx, wanted: Wanted, mint: Mint) -> bool:
    """Make the runs; False, and none, if the schedule is not as it was read."""
    now_is = read(tx, wanted.source.schedule_id)
    # What the scheduler itself has made meanwhile changes nothing.
    if now_is is None or now_is._replace(made="", due=None) != wanted.source._replace(
        made="", due=None
    ):
        return False
    insert(tx, wanted.source, wanted.dates, mint)
    return True


_INSERT = (
    "INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, deployment_version,"
    " work_queue_id, work_queue_name, parameters, idempotency_key, context, empirical_policy, tags,"
    " labels, infrastructure_document_id, created_by, state_id, state_type, state_name,"
    " state_timestamp, expected_start_time, next_scheduled_start_time, auto_scheduled)"
    f" VALUES ({', '.join('?' * 24)})"
    " ON CONFLICT (flow_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"
    " RETURNING seq"
)


def insert(tx: Tx, source: Source, dates: Sequence[datetime], mint: Mint) -> int:
    """Make a run for each date (in the schedule's zone) that has none; how many are new.

    The key is Prefect's to the letter, so that data imported from it is not scheduled twice.
    """
    if not dates:
        return 0
    tags = [AUTO_TAG, *msgspec.json.decode(source.tags)]
    labels = {
        **msgspec.json.decode(source.labels),
        "prefect.flow.id": source.flow_id,
        "prefect.deployment.id": source.deployment_id,
    }
    parameters = {
        **_decode_parameters(source.parameters),
        **_decode_parameters(source.schedule_parameters),
    }
    shared = (
        encode_text(parameters).decode(), encode_text(tags).decode(), encode_text(labels).decode(),
        encode_text(_creator(source)).decode(),
    )  # fmt: skip
    known = _known(tx, source, dates)
    made = [
        _insert_one(tx, source, date, shared, tags, mint)
        for date in dates
        if text(date) not in known
    ]
    ids = tuple(id_ for id_ in made if id_ is not None)
    if ids:
        tx.publish(RunsInserted("SCHEDULED", ids))
    return len(ids)


def _known(tx: ReadTx, source: Source, dates: Sequence[datetime]) -> set[Timestamp]:
    """Those of these dates for which a schedule that was changed had runs that are there still.

    A worker takes runs a little before their time. Has the change moved the schedule to another
    zone, the same moment has another key there.
    """
    if source.made != "[]":
        return set()
    rows = tx.all(
        "SELECT expected_start_time FROM flow_run WHERE deployment_id = ?"
        " AND expected_start_time BETWEEN ? AND ? AND auto_scheduled = 1"
        " AND json_extract(created_by, '$.id') = ?",
        (source.deployment_id, text(dates[0]), text(dates[-1]), source.schedule_id),
    )
    return {due for (due,) in rows}


def _creator(source: Source) -> dict[str, Any]:
    name = source.slug or type(schedules.stored(source.schedule)).__name__
    return {"id": source.schedule_id, "type": "SCHEDULE", "display_value": name}


def _insert_one(
    tx: Tx,
    source: Source,
    date: datetime,
    shared: tuple[str, str, str, str],
    tags: list[str],
    mint: Mint,
) -> str | None:
    parameters, tags_text, labels, created_by = shared
    id_, state_id, now, due = mint.id(), mint.id(), mint.now(), text(date)
    key = f"scheduled {source.deployment_id} {source.schedule_id} {date}"
    row = tx.one(
        _INSERT,
        (
            id_, now, now, slug(mint), source.flow_id, source.deployment_id, source.version,
            source.work_queue_id, source.work_queue_name, parameters, key, "{}", "{}", tags_text,
            labels, source.infrastructure_document_id, created_by, state_id, "SCHEDULED",
            "Scheduled", now, due, due, 1,
        ),
    )  # fmt: skip
    if row is None:
        return None
    write_tags(tx, "flow_run_tag", row[0], tags)
    state_rows.insert_flow_run_state(
        tx,
        mint,
        flow_run_id=id_,
        id_=state_id,
        type_="SCHEDULED",
        name="Scheduled",
        timestamp=now,
        message=_MESSAGE,
        details=SparseStateDetails(scheduled_time=due),
        data=None,
    )
    return id_
