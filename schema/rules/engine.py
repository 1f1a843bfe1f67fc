"""The engine: how the rules of a policy decide one transition of a run.

Theory of operation. The rules of a policy are brackets around "write the proposed state". `begin`
enters them in order (their `before` hooks) and then does the bookkeeping; the caller writes
`transition.proposed`, if there still is one; `finish` leaves them in reverse order.

*   The *intended* transition, (type of the current state, type of the proposed state), selects the
    rules; what an earlier rule makes of it does not select others.
*   A rule is skipped when an earlier one has changed the proposed type, or left nothing to write.
    Transforms are rules that are never skipped and look for themselves.
*   On leaving, a rule that was entered has its `after` hook run if the proposed type is still the
    one it left; otherwise another rule has decided against it: it *fizzles*, and `cleanup` undoes
    what `before` did.
*   A rule that itself changed the type has an `after` only if it also governs transitions to the
    new type. "Nothing to write" counts as governed by rules that govern every type: so leaving a
    pause is marked on the run even when the rule about leaving a pause has refused it.
*   A `before` that raises undoes all rules entered so far, itself included; the error goes on.

The engine never awaits, writes nothing and reads no clock but the mint's.

Source: `prefect.server.orchestration.rules`, `prefect.server.models.flow_runs.set_flow_run_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypeVar, get_args

import msgspec

from lictor.config.settings import Settings
from lictor.schema.mint import Mint
from lictor.schema.rules.records import FlowRunRecord, State, TaskRunRecord
from lictor.schema.rules.world import FlowRunOfTask, FlowWorld, TaskWorld
from lictor.schema.wire.flow_runs import FlowRunPolicy
from lictor.schema.wire.states import SparseStateDetails, StateType

Status = Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]

STATE_TYPES: tuple[StateType, ...] = get_args(StateType)
ANY: frozenset[str | None] = frozenset({*STATE_TYPES, None})
"""Every type and "no state": as FROM a run without a state, as TO nothing to write."""

RunT = TypeVar("RunT", FlowRunRecord, TaskRunRecord)


class Transition(Generic[RunT]):
    """One transition under decision, and its outcome.

    Between `begin` and `finish`, `proposed` is the state to write, or None if nothing is to be
    written; `status`, `reason` and `delay_seconds` (of WAIT) are the answer. After `finish`,
    `validated` is the state the run is in.
    """

    __slots__ = (
        "_entered",
        "current",
        "delay_seconds",
        "mint",
        "proposed",
        "reason",
        "run",
        "settings",
        "status",
        "validated",
    )

    def __init__(
        self, run: RunT, current: State | None, proposed: State, mint: Mint, settings: Settings
    ) -> None:
        self.run: RunT = run
        self.current = current
        self.proposed: State | None = proposed
        self.mint = mint
        self.settings = settings
        self.status: Status = "ACCEPT"
        self.reason: str | None = None
        self.delay_seconds: int | None = None
        self.validated: State | None = None
        self._entered: list[tuple[Rule[Any], str | None]] = []

    # What a rule's `before` may decide; the last decision holds.

    def reject(self, reason: str, instead: State | None = None) -> None:
        """Refuse the proposed state; the run gets the state `instead`, or keeps its own."""
        assert instead is not None or self.current is not None, "nothing to keep"
        self.proposed, self.status, self.reason = instead, "REJECT", reason

    def delay(self, seconds: int, reason: str) -> None:
        """Write nothing; the client comes again in `seconds`."""
        self.proposed, self.status, self.reason = None, "WAIT", reason
        self.delay_seconds = seconds

    def abort(self, reason: str) -> None:
        """Write nothing; the client stops working on this run.

        For the caller too, between `begin` and `finish`, when the state cannot be stored: the rules
        then undo what they did, and the run's record is to be thrown away.
        """
        self.proposed, self.status, self.reason = None, "ABORT", reason

    def new_state(
        self,
        type_: StateType,
        name: str | None = None,
        message: str | None = None,
        data: Any = None,
        details: SparseStateDetails | None = None,
    ) -> State:
        """A state made by the server, here and now."""
        mint = self.mint
        return State(
            mint.id(),
            type_,
            name or type_.capitalize(),
            mint.now(),
            message,
            data,
            details or SparseStateDetails(),
        )


class FlowTransition(Transition[FlowRunRecord]):
    """A transition of a flow run, proposed by a client of `client_version`, if it said so."""

    __slots__ = ("client_version", "lease_taken", "pause_key", "policy_before", "world")

    def __init__(
        self,
        run: FlowRunRecord,
        current: State | None,
        proposed: State,
        world: FlowWorld,
        mint: Mint,
        settings: Settings,
        client_version: str | None = None,
    ) -> None:
        super().__init__(run, current, proposed, mint, settings)
        self.world = world
        self.client_version = client_version
        self.lease_taken: str | None = None
        self.pause_key: str | None = None
        self.policy_before: FlowRunPolicy = run.empirical_policy

    @property
    def needs_mirror(self) -> bool:
        """Whether the task run that stands for this subflow in its parent must follow."""
        return self.proposed is not None and self.run.parent_task_run_id is not None


class TaskTransition(Transition[TaskRunRecord]):
    """A transition of a task run."""

    __slots__ = ("_flow_run", "_flow_run_known", "lease_taken", "run_count_before", "world")

    def __init__(
        self,
        run: TaskRunRecord,
        current: State | None,
        proposed: State,
        world: TaskWorld,
        mint: Mint,
        settings: Settings,
    ) -> None:
        super().__init__(run, current, proposed, mint, settings)
        self.world = world
        self.lease_taken: str | None = None
        self.run_count_before = run.run_count
        self._flow_run: FlowRunOfTask | None = None
        self._flow_run_known = run.flow_run_id is None

    def flow_run(self) -> FlowRunOfTask | None:
        """The flow run this task run belongs to, asked for once; None if there is none."""
        if not self._flow_run_known:
            assert self.run.flow_run_id is not None
            self._flow_run = self.world.flow_run_of_task(self.run.flow_run_id)
            self._flow_run_known = True
        return self._flow_run


T = TypeVar("T", bound=Transition[Any])
T_contra = TypeVar("T_contra", bound=Transition[Any], contravariant=True)

Phase = Literal["before", "after", "cleanup"]


class Rule(msgspec.Struct, Generic[T_contra], frozen=True, kw_only=True):
    """One row of a policy: which intended transitions it governs, its hooks, and why it exists.

    `name` is the name of the rule in the Prefect server. None among `from_types` stands for a run
    without a state, among `to_types` for nothing to write.
    """

    name: str
    why: str
    from_types: frozenset[str | None] = ANY
    to_types: frozenset[str | None] = ANY
    before: Callable[[T_contra], None] | None = None
    after: Callable[[T_contra], None] | None = None
    cleanup: Callable[[T_contra], None] | None = None
    transform: bool = False

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The hooks this rule has, in the order in which they may run."""
        hooks: tuple[tuple[Phase, object], ...] = (
            ("before", self.before),
            ("after", self.after),
            ("cleanup", self.cleanup),
        )
        return tuple(phase for phase, hook in hooks if hook is not None)

    def governs(self, from_type: str | None, to_type: str | None) -> bool:
        """Whether this rule has a say in the intended transition."""
        return from_type in self.from_types and to_type in self.to_types


Step = tuple[Rule[Any], Callable[[Any], None] | None, bool]
"""A rule, its `before`, and whether it has anything to do on leaving."""


class Policy(Generic[T]):
    """An ordered table of rules, and the bookkeeping below them."""

    __slots__ = ("_plans", "bookkeeping", "name", "rules")

    def __init__(
        self, name: str, bookkeeping: Callable[[T], None], rules: tuple[Rule[T], ...]
    ) -> None:
        self.name = name
        self.bookkeeping = bookkeeping
        self.rules = rules
        self._plans: dict[tuple[str | None, str], tuple[Step, ...]] = {}

    def rules_for(self, from_type: str | None, to_type: str) -> Iterator[Rule[T]]:
        """The rules that govern an intended transition, in order."""
        return (rule for rule in self.rules if rule.governs(from_type, to_type))

    def plan(self, from_type: str | None, to_type: str) -> tuple[Step, ...]:
        """The same as `begin` takes it, made out once for each intended transition."""
        plan = self._plans.get((from_type, to_type))
        if plan is None:
            plan = tuple(
                (rule, rule.before, rule.after is not None or rule.cleanup is not None)
                for rule in self.rules_for(from_type, to_type)
            )
            self._plans[from_type, to_type] = plan
        return plan


def begin(policy: Policy[T], transition: T) -> T:
    """Enter the rules of `policy`, do the bookkeeping; what is left in `proposed` is to be written.

    Raises whatever a rule's `before` or the bookkeeping raises; the rules entered are cleaned up.
    """
    proposed = transition.proposed
    current = transition.current
    assert proposed is not None, "a transition is begun once, with a proposed state"
    to_type: str | None = proposed.type
    intended = proposed.type
    entered = transition._entered
    for rule, before, leaves in policy.plan(None if current is None else current.type, intended):
        if to_type != intended and not rule.transform:
            continue
        if before is not None:
            try:
                before(transition)
            except Exception as error:
                entered.append((rule, intended))
                _give_up(transition, error)
                raise
            proposed = transition.proposed
            to_type = None if proposed is None else proposed.type
        if leaves and (rule.transform or to_type in rule.to_types):
            entered.append((rule, to_type))
    if proposed is not None:
        policy.bookkeeping(transition)
    return transition


def finish(transition: T, validated: State | None = None) -> T:
    """Leave the rules. `validated` is the state as written, where the writing has changed it."""
    proposed = transition.proposed
    final = None if proposed is None else proposed.type
    transition.validated = validated or proposed or transition.current
    for rule, to_type in reversed(transition._entered):
        hook = rule.after if rule.transform or to_type == final else rule.cleanup
        if hook is not None:
            hook(transition)
    return transition


def decide(policy: Policy[T], transition: T) -> T:
    """`begin` and `finish` in one, for a caller that writes state and run together afterwards."""
    return finish(begin(policy, transition))


def _give_up(transition: Transition[Any], error: Exception) -> None:
    """Undo the rules entered so far: nothing will be written, and transforms have no after."""
    transition.abort(f"A rule failed: {error!r}")
    transition.validated = transition.current
    for rule, to_type in reversed(transition._entered):
        if rule.transform:
            continue
        hook = rule.after if to_type is None else rule.cleanup
        if hook is not None:
            hook(transition)
