"""What one write to a flow run does in its transaction: create, transition, delete.

Source: `prefect.server.models.flow_runs`, `prefect.server.api.flow_runs`.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import proposals, task_runs, work_queues
from lictor.schema.commands.flow_run_event import Surroundings, publish_transition
from lictor.schema.commands.run_slots import FlowSlots, forget_flow_run
from lictor.schema.errors import IntegrityConflict, Missing
from lictor.schema.mint import Mint
from lictor.schema.names import slug
from lictor.schema.rules import engine, policies
from lictor.schema.rules.records import FlowRunRecord, State, changes
from lictor.schema.tables import flow_runs as table
from lictor.schema.tables import inputs, logs, state_rows
from lictor.schema.tables.leases import Holder
from lictor.schema.tables.runs import decode_flow_run_policy, encode_text
from lictor.schema.times import Timestamp, parse
from lictor.schema.wire.flow_runs import (
    FlowRun,
    FlowRunCreate,
    Labels,
    OrchestrationResult,
)
from lictor.schema.wire.states import SetState, StateBody

PENDING = StateBody(type="PENDING")


class Origin(NamedTuple):
    """Where a run comes from: a version of its deployment, the queue it waits in, the labels that
    it inherits, as JSON text, whether they are those of a deployment, and the flow they are of
    (a run may name a deployment of another flow).
    """

    deployment_version: str | None
    work_queue_id: str | None
    work_queue_name: str | None
    labels: str
    has_deployment: bool
    flow_id: str


def create(
    tx: Tx,
    body: FlowRunCreate,
    created_by: str | None,
    mint: Mint,
    settings: Settings,
    origin: Origin | None = None,
) -> tuple[FlowRun, bool]:
    """A new run in its first state, or the run an earlier request with this key has made (False).

    `origin`: found out from the body unless it is given.

    Raises:
        IntegrityConflict: the flow, the parent task run or the infrastructure block does not exist,
            or an empty idempotency key is taken.
        NotFound: the work pool or queue does not exist.
        InvalidRequest: the parameters are larger than the limit.
    """
    now = mint.now()
    parameters = proposals.sized_parameters(body.parameters, settings)
    flow_id = str(body.flow_id)
    flow = tx.one("SELECT name, tags, labels FROM flow WHERE id = ?", (flow_id,))
    if flow is None:
        raise IntegrityConflict(f"there is no flow {flow_id}")
    if origin is None:
        origin = _origin(tx, body, flow[2])
    earlier = _earlier(tx, flow_id, body.idempotency_key, now)
    if earlier is not None:
        return earlier, False
    _require_relations(tx, body)
    run = _new_record(body, mint)
    first = proposals.state(body.state or PENDING, mint)
    store = FlowStore(tx, run, mint)
    proposal = engine.FlowTransition(run, None, first, store, mint, settings)
    transition = engine.begin(policies.FLOW_MINIMAL, proposal)
    state = transition.proposed
    assert state is not None, "the first state of a run is never refused"
    run.state_id = state.id
    labels = _labels(origin, run, body.labels)
    row = _new_row(run, body, origin, parameters, labels, created_by, now)
    table.insert(tx, row, body.tags)
    details = _write_state(tx, mint, run.id, state)
    surroundings = Surroundings(flow[0], flow[1], row.tags, created_by, row.work_queue_id)
    _conclude(tx, transition, surroundings)
    if row.work_queue_id is not None:
        made = table.read(tx, run.id, parse(now))
        assert made is not None
        return made, True
    data = encode_text(state.data).decode() if state_rows.is_kept(state.data) else None
    return table.to_wire(table.new_row(row, state.message, details, data), parse(now)), True


def _earlier(tx: Tx, flow_id: str, key: str | None, now: Timestamp) -> FlowRun | None:
    """The run that an earlier request with this key has made.

    Raises:
        IntegrityConflict: the key is empty and taken.
    """
    if key is None:
        return None
    earlier = table.read_by_idempotency_key(tx, flow_id, key, parse(now))
    if earlier is not None and key == "":
        # An empty key is stored, hence unique, but is not a key to look for.
        raise IntegrityConflict(f"flow {flow_id} has a run with an empty idempotency key")
    return earlier


def _require_relations(tx: Tx, body: FlowRunCreate) -> None:
    """Raises `IntegrityConflict` unless what a new run refers to exists; there are no blocks."""
    parent = body.parent_task_run_id
    if parent is not None and not tx.one("SELECT 1 FROM task_run WHERE id = ?", (str(parent),)):
        raise IntegrityConflict(f"there is no task run {parent}")
    if body.infrastructure_document_id is not None:
        raise IntegrityConflict(f"there is no block {body.infrastructure_document_id}")


def _new_record(body: FlowRunCreate, mint: Mint) -> FlowRunRecord:
    """The run that a body asks for, before its first state."""
    parent = body.parent_task_run_id
    return FlowRunRecord(
        id=mint.id(),
        name=body.name or slug(mint),
        flow_id=str(body.flow_id),
        deployment_id=None if body.deployment_id is None else str(body.deployment_id),
        parent_task_run_id=None if parent is None else str(parent),
        empirical_policy=body.empirical_policy.with_deprecated_fields(),
    )


def _origin(tx: Tx, body: FlowRunCreate, flow_labels: str) -> Origin:
    """The origin of a run that is made for its flow, not by its deployment.

    Raises:
        NotFound: the work pool or queue does not exist.
    """
    row = queue_id = None
    if body.work_pool_name:
        queue_id = work_queues.find(tx, body.work_pool_name, body.work_queue_name or None).id
    if body.deployment_id is not None:
        query = "SELECT labels, flow_id FROM deployment WHERE id = ?"
        row = tx.one(query, (str(body.deployment_id),))
    labels, flow_id = (flow_labels, str(body.flow_id)) if row is None else row
    return Origin(None, queue_id, body.work_queue_name, labels, row is not None, flow_id)


def _new_row(
    run: FlowRunRecord,
    body: FlowRunCreate,
    origin: Origin,
    parameters: str,
    labels: str,
    created_by: str | None,
    now: Timestamp,
) -> table.NewFlowRun:
    """The row of a run whose first state has been decided."""
    infrastructure = body.infrastructure_document_id
    return table.NewFlowRun(
        id=run.id,
        created=now,
        updated=now,
        name=run.name,
        flow_id=run.flow_id,
        deployment_id=run.deployment_id,
        deployment_version=origin.deployment_version,
        work_queue_id=origin.work_queue_id,
        work_queue_name=origin.work_queue_name,
        flow_version=body.flow_version,
        parameters=parameters,
        idempotency_key=body.idempotency_key,
        context=encode_text(body.context).decode(),
        empirical_policy=encode_text(run.empirical_policy).decode(),
        tags=encode_text(body.tags).decode(),
        labels=labels,
        parent_task_run_id=run.parent_task_run_id,
        infrastructure_document_id=None if infrastructure is None else str(infrastructure),
        job_variables=_job_variables(body),
        created_by=created_by,
        state_id=run.state_id,
        state_type=run.state_type,
        state_name=run.state_name,
        state_timestamp=run.state_timestamp,
        run_count=run.run_count,
        expected_start_time=run.expected_start_time,
        next_scheduled_start_time=run.next_scheduled_start_time,
        start_time=run.start_time,
        end_time=run.end_time,
        total_run_time=run.total_run_time,
    )


def _job_variables(body: FlowRunCreate) -> str:
    """The job variables of a new run as JSON text. None given is none, but null when the run has an
    idempotency key: Prefect inserts such a run past the column's default.
    """
    if body.job_variables is None and not body.idempotency_key:
        return "{}"
    return encode_text(body.job_variables).decode()


def set_state(
    tx: Tx,
    id_: str,
    body: SetState,
    mint: Mint,
    settings: Settings,
    client_version: str | None = None,
) -> tuple[OrchestrationResult, bool]:
    """Propose a state to a run: the verdict, and whether a state was written.

    Raises:
        Missing: the run does not exist.
    """
    loaded = load(tx, id_)
    policy = policies.FLOW_MINIMAL if body.force else policies.FLOW_CORE
    state = proposals.state(body.state, mint)
    transition = propose(tx, policy, loaded, state, mint, settings, client_version)
    return proposals.result(transition), transition.proposed is not None


class Loaded(NamedTuple):
    """A run as its transaction finds it, and the state it is in; None without one."""

    run: FlowRunRecord
    current: State | None
    surroundings: Surroundings


def propose(
    tx: Tx,
    policy: engine.Policy[engine.FlowTransition],
    loaded: Loaded,
    proposed: State,
    mint: Mint,
    settings: Settings,
    client_version: str | None = None,
) -> engine.FlowTransition:
    """Take a run, loaded in this transaction, through one transition.

    Raises:
        Missing: the task run that stands for the run in its parent is gone.
    """
    run = loaded.run
    store = FlowStore(tx, run, mint)
    transition = engine.FlowTransition(
        run, loaded.current, proposed, store, mint, settings, client_version
    )
    transit(tx, policy, transition, loaded.surroundings)
    return transition


def transit(
    tx: Tx,
    policy: engine.Policy[engine.FlowTransition],
    transition: engine.FlowTransition,
    surroundings: Surroundings,
) -> None:
    """Decide a transition and write what it came to: state, run, event, parent task run."""
    run = transition.run
    before = copy.copy(run)
    engine.begin(policy, transition)
    state = transition.proposed
    if state is None:
        engine.finish(transition)
    else:
        _write_state(tx, transition.mint, run.id, state)
        _conclude(tx, transition, surroundings)
        run.state_id = state.id
    written = changes(before, run)
    if written:
        written["updated"] = transition.mint.now()
        table.update(tx, run.id, written)


def _conclude(tx: Tx, transition: engine.FlowTransition, surroundings: Surroundings) -> None:
    """After the state is in its table: the after hooks, the event, the task run in the parent."""
    engine.finish(transition)
    publish_transition(tx, transition, surroundings)
    if transition.needs_mirror:
        task_runs.mirror(tx, transition)


def _write_state(tx: Tx, mint: Mint, run_id: str, state: State) -> str:
    return state_rows.insert_flow_run_state(
        tx,
        mint,
        flow_run_id=run_id,
        id_=state.id,
        type_=state.type,
        name=state.name,
        timestamp=state.timestamp,
        message=state.message,
        details=state.details,
        data=state.data,
    )


_LOAD = (
    "SELECT fr.id, fr.name, fr.flow_id, fr.deployment_id, fr.parent_task_run_id,"
    " fr.infrastructure_pid, fr.empirical_policy, fr.state_id, fr.state_type, fr.state_name,"
    " fr.state_timestamp, fr.run_count, fr.expected_start_time, fr.next_scheduled_start_time,"
    " fr.start_time, fr.end_time, fr.total_run_time,"
    " s.message, s.state_details, a.data, f.name, f.tags, fr.tags, fr.created_by,"
    " fr.work_queue_id"
    " FROM flow_run fr JOIN flow f ON f.id = fr.flow_id"
    " LEFT JOIN flow_run_state s ON s.id = fr.state_id"
    " LEFT JOIN artifact a ON a.id = s.result_artifact_id WHERE fr.id = ?"
)


def load(tx: Tx, id_: str) -> Loaded:
    """The run called `id_` with its state.

    Raises:
        Missing: the run does not exist.
    """
    row = tx.one(_LOAD, (id_,))
    if row is None:
        raise Missing(f"Flow run with id {id_} not found")
    run = FlowRunRecord(*row[:17])
    run.empirical_policy = decode_flow_run_policy(row[6])
    return Loaded(run, proposals.current(*row[7:11], *row[17:20]), Surroundings(*row[20:25]))


class FlowStore(FlowSlots):
    """The transaction as the rules of flow runs see it (`schema.rules.world.FlowWorld`)."""

    __slots__ = ()

    def __init__(self, tx: Tx, run: FlowRunRecord, mint: Mint) -> None:
        super().__init__(tx, Holder("flow_run", run.id), mint)

    def has_state_at(self, run_id: str, timestamp: Timestamp) -> bool:
        return (
            self._tx.one(
                "SELECT 1 FROM flow_run_state WHERE flow_run_id = ? AND timestamp = ?",
                (run_id, timestamp),
            )
            is not None
        )

    def delete_flow_run_inputs(self, flow_run_id: str, keys: Any) -> None:
        for key in keys:
            inputs.delete(self._tx, flow_run_id, key)


def delete(tx: Tx, id_: str) -> bool:
    """Delete the run with all that hangs on it, logs included; False if there is none."""
    forget_flow_run(tx, id_)
    if not table.delete(tx, id_):
        return False
    logs.delete_for_flow_run(tx, id_)
    return True


def _labels(origin: Origin, run: FlowRunRecord, given: Labels | None) -> str:
    """The labels of a new run: those it inherits, its flow's and deployment's ids, the given ones;
    later ones win. The id of a deployment that does not exist is none of them.
    """
    inherited = origin.labels
    ids: Labels = {"prefect.flow.id": origin.flow_id}
    if origin.has_deployment and run.deployment_id is not None:
        ids["prefect.deployment.id"] = run.deployment_id
    elif inherited == "{}" and not given:
        return f'{{"prefect.flow.id":"{origin.flow_id}"}}'
    labels = {**proposals.decode_labels(inherited), **ids, **(given or {})}
    return encode_text(labels).decode()
