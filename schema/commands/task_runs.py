"""What one write to a task run does in its transaction: create, transition, rename, delete.

Ordinary task runs are orchestrated by the client and arrive as events
(`schema/tables/task_run_recorder.py`); these commands serve deferred tasks, the task runs that
stand for subflows, older clients and the UI.

Source: `prefect.server.models.task_runs`, `prefect.server.api.task_runs`.
"""

from __future__ import annotations

import copy

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import proposals
from lictor.schema.commands.run_slots import TaskSlots, forget_task_run
from lictor.schema.errors import FieldError, IntegrityConflict, InvalidRequest, Missing, NotFound
from lictor.schema.mint import Mint
from lictor.schema.names import slug
from lictor.schema.rules import engine, policies
from lictor.schema.rules.records import State, TaskRunRecord, changes
from lictor.schema.rules.world import FlowRunOfTask
from lictor.schema.tables import logs, state_rows, task_queue
from lictor.schema.tables import task_runs as table
from lictor.schema.tables.leases import Holder
from lictor.schema.tables.runs import decode_task_run_policy, encode_text
from lictor.schema.times import Timestamp, parse, text
from lictor.schema.wire.flow_runs import Labels, OrchestrationResult
from lictor.schema.wire.states import SetState, SparseStateDetails, StateBody
from lictor.schema.wire.task_runs import TaskRun, TaskRunCreate, TaskRunUpdate

PENDING = StateBody(type="PENDING")


def create(tx: Tx, body: TaskRunCreate, mint: Mint, settings: Settings) -> tuple[TaskRun, bool]:
    """A new task run in its first state, or the one with the same keys, unchanged (False).

    Raises:
        IntegrityConflict: the flow run does not exist, or the id belongs to another task run.
        InvalidRequest: the cache key is longer than the limit.
    """
    now = mint.now()
    _check_cache_key(body.cache_key, settings)
    flow_run_id = None if body.flow_run_id is None else str(body.flow_run_id)
    existing = table.read_by_keys(tx, flow_run_id, body.task_key, body.dynamic_key, parse(now))
    if existing is not None:
        return existing, False
    id_ = mint.id() if body.id is None else str(body.id)
    if body.id is not None and tx.one("SELECT 1 FROM task_run WHERE id = ?", (id_,)):
        raise IntegrityConflict(f"task run {id_} exists under other keys")
    run = TaskRunRecord(
        id=id_,
        name=body.name or slug(mint),
        task_key=body.task_key,
        flow_run_id=flow_run_id,
        tags=tuple(body.tags),
        empirical_policy=body.empirical_policy.with_deprecated_fields(),
    )
    labels = _labels(tx, flow_run_id, body.labels or {})
    expiration = body.cache_expiration
    row = table.NewTaskRun(
        id=id_,
        created=now,
        updated=now,
        name=run.name,
        flow_run_id=flow_run_id,
        task_key=body.task_key,
        dynamic_key=body.dynamic_key,
        cache_key=body.cache_key,
        cache_expiration=None if expiration is None else text(expiration),
        task_version=body.task_version,
        empirical_policy=encode_text(run.empirical_policy).decode(),
        tags=encode_text(body.tags).decode(),
        labels=encode_text(labels).decode(),
        task_inputs=encode_text(body.task_inputs).decode(),
    )
    table.insert(tx, row, body.tags)
    proposed = proposals.state(body.state or PENDING, mint)
    policy = policies.TASK_BACKGROUND if proposed.details.deferred else policies.TASK_MINIMAL
    store = TaskStore(tx, run, mint, settings)
    transit(tx, policy, engine.TaskTransition(run, None, proposed, store, mint, settings))
    created = table.read(tx, id_, parse(mint.now()))
    assert created is not None
    return created, True


def _labels(tx: Tx, flow_run_id: str | None, given: Labels) -> Labels:
    """The labels of a new task run: those of its flow run, that run's id, the given ones.

    Raises:
        IntegrityConflict: the flow run does not exist.
    """
    if flow_run_id is None:
        return given
    row = tx.one("SELECT labels FROM flow_run WHERE id = ?", (flow_run_id,))
    if row is None:
        raise IntegrityConflict(f"there is no flow run {flow_run_id}")
    inherited = proposals.decode_labels(row[0])
    return {**inherited, "prefect.flow-run.id": flow_run_id, **given}


def set_state(
    tx: Tx, id_: str, body: SetState, mint: Mint, settings: Settings
) -> tuple[OrchestrationResult, bool]:
    """Propose a state to a task run: the verdict, and whether a state was written.

    Raises:
        Missing: the task run does not exist.
    """
    proposed = proposals.state(body.state, mint)
    if proposed.details.deferred:
        policy = policies.TASK_BACKGROUND
    else:
        policy = policies.TASK_MINIMAL if body.force else policies.TASK_CORE
    transition = propose(tx, policy, id_, proposed, mint, settings)
    return proposals.result(transition), transition.proposed is not None


def propose(
    tx: Tx,
    policy: engine.Policy[engine.TaskTransition],
    id_: str,
    proposed: State,
    mint: Mint,
    settings: Settings,
) -> engine.TaskTransition:
    """Take the task run through one transition.

    Raises:
        Missing: the task run does not exist.
    """
    loaded = _load(tx, id_)
    if loaded is None:
        raise Missing(f"Task run with id {id_} not found")
    run, current = loaded
    store = TaskStore(tx, run, mint, settings)
    transition = engine.TaskTransition(run, current, proposed, store, mint, settings)
    transit(tx, policy, transition)
    return transition


def transit(
    tx: Tx, policy: engine.Policy[engine.TaskTransition], transition: engine.TaskTransition
) -> None:
    """Decide a transition and write what it came to."""
    run = transition.run
    before = copy.copy(run)
    engine.begin(policy, transition)
    state = transition.proposed
    if state is not None:
        state_rows.insert_task_run_state(
            tx,
            transition.mint,
            task_run_id=run.id,
            flow_run_id=run.flow_run_id,
            id_=state.id,
            type_=state.type,
            name=state.name,
            timestamp=state.timestamp,
            message=state.message,
            details=state.details,
            data=state.data,
        )
        run.state_id = state.id
    engine.finish(transition)
    written = changes(before, run)
    if written:
        written["updated"] = transition.mint.now()
        table.update(tx, run.id, written)


def mirror(tx: Tx, transition: engine.FlowTransition) -> None:
    """Let the task run that stands for a subflow in its parent follow the subflow's new state.

    Source: `prefect.server.orchestration.global_policy.UpdateSubflowParentTask`.

    Raises:
        Missing: there is no such task run.
    """
    flow_run, state, mint = transition.run, transition.proposed, transition.mint
    assert state is not None
    assert flow_run.parent_task_run_id is not None
    details = copy.copy(state.details)
    details.child_flow_run_id = flow_run.id
    copied = State(
        mint.id(), state.type, state.name, mint.now(), state.message, state.data, details
    )
    propose(
        tx,
        policies.TASK_MINIMAL,
        flow_run.parent_task_run_id,
        copied,
        mint,
        transition.settings,
    )


_LOAD = (
    "SELECT tr.id, tr.name, tr.task_key, tr.flow_run_id, tr.tags, tr.empirical_policy,"
    " tr.flow_run_run_count, tr.state_id, tr.state_type, tr.state_name, tr.state_timestamp,"
    " tr.run_count, tr.expected_start_time, tr.next_scheduled_start_time, tr.start_time,"
    " tr.end_time, tr.total_run_time, s.message, s.state_details, a.data"
    " FROM task_run tr LEFT JOIN task_run_state s ON s.id = tr.state_id"
    " LEFT JOIN artifact a ON a.id = s.result_artifact_id WHERE tr.id = ?"
)


def _load(tx: Tx, id_: str) -> tuple[TaskRunRecord, State | None] | None:
    row = tx.one(_LOAD, (id_,))
    if row is None:
        return None
    run = TaskRunRecord(*row[:17])
    run.tags = () if row[4] == "[]" else tuple(proposals.decode_tags(row[4]))
    run.empirical_policy = decode_task_run_policy(row[5])
    return run, proposals.current(*row[7:11], *row[17:20])


class TaskStore(TaskSlots):
    """The transaction as the rules of task runs see it (`schema.rules.world.TaskWorld`)."""

    __slots__ = ("_run",)

    def __init__(self, tx: Tx, run: TaskRunRecord, mint: Mint, settings: Settings) -> None:
        super().__init__(tx, Holder("task_run", run.id), mint, settings)
        self._run = run

    def has_state_at(self, run_id: str, timestamp: Timestamp) -> bool:
        return (
            self._tx.one(
                "SELECT 1 FROM task_run_state WHERE task_run_id = ? AND timestamp = ?",
                (run_id, timestamp),
            )
            is not None
        )

    def flow_run_of_task(self, flow_run_id: str) -> FlowRunOfTask | None:
        row = self._tx.one(
            "SELECT fr.run_count, fr.state_type, s.state_details FROM flow_run fr"
            " LEFT JOIN flow_run_state s ON s.id = fr.state_id WHERE fr.id = ?",
            (flow_run_id,),
        )
        if row is None:
            return None
        details = SparseStateDetails() if row[2] is None else proposals.decode_details(row[2])
        return FlowRunOfTask(row[0], row[1], details.pause_timeout, details.pause_reschedule)

    def cached_state(self, cache_key: str, now: Timestamp) -> State | None:
        row = self._tx.one(
            "SELECT task_run_state_id FROM task_run_state_cache WHERE cache_key = ?"
            " AND (cache_expiration IS NULL OR cache_expiration > ?) ORDER BY seq DESC LIMIT 1",
            (cache_key, now),
        )
        if row is None:
            return None
        state = self._tx.one(
            "SELECT s.id, s.type, s.name, s.timestamp, s.message, s.state_details, a.data"
            " FROM task_run_state s LEFT JOIN artifact a ON a.id = s.result_artifact_id"
            " WHERE s.id = ?",
            (row[0],),
        )
        return None if state is None else proposals.current(*state)

    def insert_cache(self, cache_key: str, expiration: Timestamp | None, state_id: str) -> None:
        self._tx.run(
            "INSERT INTO task_run_state_cache (cache_key, cache_expiration, task_run_state_id)"
            " VALUES (?, ?, ?)",
            (cache_key, expiration, state_id),
        )

    def enqueue_task_run(self, task_key: str, task_run_id: str, *, retry: bool) -> None:
        settings, state_id = self._settings, self._run.state_id
        assert state_id is not None
        lane, limit = task_queue.Lane.SCHEDULED, settings.task_queue_scheduled_max
        if retry:
            lane, limit = task_queue.Lane.RETRY, settings.task_queue_retry_max
        task_queue.join(self._tx, task_queue.Place(task_run_id, state_id, task_key), lane, limit)


def rename(tx: Tx, id_: str, body: TaskRunUpdate, mint: Mint) -> None:
    """Give the task run another name, a generated one if none is given.

    Raises:
        NotFound: the task run does not exist.
    """
    if not table.update(tx, id_, {"name": body.name or slug(mint), "updated": mint.now()}):
        raise NotFound("Task run not found")


def delete(tx: Tx, id_: str) -> bool:
    """Delete the task run with its states and logs; False if there is none."""
    forget_task_run(tx, id_)
    if not table.delete(tx, id_):
        return False
    logs.delete_for_task_run(tx, id_)
    return True


def _check_cache_key(cache_key: str | None, settings: Settings) -> None:
    most = settings.task_cache_key_length_max
    if cache_key is not None and len(cache_key) > most:
        message = f"Value error, Cache key exceeded maximum allowed length of {most} characters."
        raise InvalidRequest([FieldError("value_error", ("body", "cache_key"), message)])
