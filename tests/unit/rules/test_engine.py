"""The engine, against a slow model of it: nested brackets, as context managers on an exit stack."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_bench import Bench, flow_run, verdict

from lictor.schema.rules import engine
from lictor.schema.rules.engine import ANY, FlowTransition, Policy, Rule

TYPES = ("PENDING", "RUNNING", "FAILED")


@dataclass(frozen=True)
class Spec:
    """A made-up rule: `action` is what its before does."""

    from_types: frozenset[str | None]
    to_types: frozenset[str | None]
    transform: bool
    action: str


class BrokenRuleError(Exception):
    pass


@dataclass
class Case:
    """The model's transition: types only."""

    current: str | None
    proposed: str | None
    status: str = "ACCEPT"
    log: list[str] = field(default_factory=list)
    failed: bool = False


class Bracket(contextlib.AbstractContextManager[None]):
    """One rule around the write, by the book: it decides about itself on entry and on exit."""

    def __init__(self, index: int, spec: Spec, case: Case) -> None:
        self.index, self.spec, self.case = index, spec, case
        self.from_type, self.to_type = case.current, case.proposed
        self.invalid: bool | None = None

    def changed(self) -> bool:
        return (self.from_type, self.to_type) != (self.case.current, self.case.proposed)

    def is_invalid(self) -> bool:
        if self.from_type not in self.spec.from_types or self.to_type not in self.spec.to_types:
            self.invalid = True
        if self.invalid is None:
            self.invalid = self.changed()
        return self.invalid

    def __enter__(self) -> None:
        if self.case.failed and self.spec.transform:
            return  # lictor stops at the first failure; a transform would have seen nothing
        if self.spec.transform or not self.is_invalid():
            self.case.log.append(f"{self.index} before")
            self.act(self.spec.action)

    def act(self, action: str) -> None:
        case = self.case
        if action == "raise":
            case.proposed, case.status, case.failed = None, "ABORT", True
        elif action == "keep":
            case.proposed, case.status, self.to_type = None, "REJECT", None
        elif action == "delay":
            case.proposed, case.status, self.to_type = None, "WAIT", None
        elif action == "abort":
            case.proposed, case.status, self.to_type = None, "ABORT", None
        elif action in TYPES:
            case.proposed, case.status, self.to_type = action, "REJECT", action

    def __exit__(self, *_: object) -> None:
        if self.spec.transform:
            if not self.case.failed:
                self.case.log.append(f"{self.index} after")
        elif self.is_invalid():
            pass
        elif self.changed():
            self.case.log.append(f"{self.index} cleanup")
        else:
            self.case.log.append(f"{self.index} after")


def expected(specs: list[Spec], current: str | None, proposed: str) -> Case:
    case = Case(current, proposed)
    with contextlib.ExitStack() as stack:
        for index, spec in enumerate(specs):
            if current in spec.from_types and proposed in spec.to_types:
                bracket = Bracket(index, spec, case)
                bracket.to_type = proposed
                stack.enter_context(bracket)
        if case.proposed is not None:
            case.log.append("book")
    return case


def real_rule(index: int, spec: Spec, log: list[str]) -> Rule[FlowTransition]:
    def before(transition: FlowTransition) -> None:
        log.append(f"{index} before")
        if spec.action == "raise":
            raise BrokenRuleError(index)
        if spec.action == "keep":
            transition.reject("no")
        elif spec.action == "delay":
            transition.delay(7, "later")
        elif spec.action == "abort":
            transition.abort("stop")
        elif spec.action in TYPES:
            transition.reject("rather this", transition.new_state(spec.action))

    return Rule(
        name=f"Rule{index}",
        why="Made up.",
        from_types=spec.from_types,
        to_types=spec.to_types,
        before=before,
        after=lambda _: log.append(f"{index} after"),
        cleanup=None if spec.transform else lambda _: log.append(f"{index} cleanup"),
        transform=spec.transform,
    )


def run_real(specs: list[Spec], current: str | None, proposed: str) -> Case:
    bench, log = Bench(), []
    policy = Policy(
        "MadeUp",
        lambda _: log.append("book"),
        tuple(real_rule(index, spec, log) for index, spec in enumerate(specs)),
    )
    transition = FlowTransition(
        flow_run(),
        None if current is None else bench.state(current),
        bench.state(proposed),
        bench.world,
        bench.mint,
        bench.settings,
    )
    failed = False
    try:
        engine.decide(policy, transition)
    except BrokenRuleError:
        failed = True
    status, written = verdict(transition)
    return Case(current, written, status, log, failed)


governed = st.one_of(
    st.just(ANY),
    st.frozensets(st.sampled_from((*TYPES, None)), min_size=1),
    st.frozensets(st.sampled_from(TYPES), min_size=2),
)
rules = st.builds(
    Spec,
    from_types=governed,
    to_types=governed,
    transform=st.just(False),
    action=st.sampled_from(("pass", "pass", "keep", "delay", "abort", "raise", *TYPES)),
)
transforms = st.builds(
    Spec,
    from_types=st.just(ANY),
    to_types=st.just(ANY),
    transform=st.just(True),
    action=st.just("pass"),
)


@given(
    st.lists(st.one_of(rules, rules, rules, transforms), max_size=7),
    st.sampled_from(TYPES),
    st.sampled_from(TYPES),
)
def test_the_engine_decides_as_nested_brackets_would(specs, current, proposed):
    wanted = expected(specs, current, proposed)
    assert run_real(specs, current, proposed) == wanted


def spec(action: str, to_types: frozenset[Any] = ANY, *, transform: bool = False) -> Spec:
    return Spec(ANY, to_types, transform, action)


RUNNING = frozenset({"RUNNING"})


def test_rules_are_left_in_reverse_order_below_them_the_bookkeeping():
    case = run_real([spec("pass"), spec("pass", transform=True), spec("pass")], None, "RUNNING")
    assert case.log == [
        *("0 before", "1 before", "2 before", "book", "2 after", "1 after", "0 after"),
    ]


def test_a_rule_overruled_by_a_later_one_fizzles_and_cleans_up():
    case = run_real([spec("pass"), spec("FAILED"), spec("pass")], "PENDING", "RUNNING")
    assert case.log == ["0 before", "1 before", "book", "1 after", "0 cleanup"]
    assert (case.status, case.proposed) == ("REJECT", "FAILED")


def test_a_rule_that_leaves_its_own_territory_has_no_after_and_no_cleanup():
    case = run_real([spec("FAILED", RUNNING)], "PENDING", "RUNNING")
    assert case.log == ["0 before", "book"]


def test_a_rule_that_refuses_without_a_substitute_has_an_after_if_it_governs_everything():
    assert run_real([spec("keep")], "PENDING", "RUNNING").log == ["0 before", "0 after"]
    assert run_real([spec("keep", RUNNING)], "PENDING", "RUNNING").log == ["0 before"]


def test_a_rejection_that_keeps_the_type_disables_nobody_and_the_last_word_counts():
    case = run_real([spec("RUNNING"), spec("pass"), spec("abort")], "PENDING", "RUNNING")
    assert case.log[:3] == ["0 before", "1 before", "2 before"]
    assert case.status == "ABORT"


def test_nothing_is_booked_when_nothing_is_written_but_transforms_are_left():
    case = run_real([spec("pass", transform=True), spec("delay", RUNNING)], "PENDING", "RUNNING")
    assert case.log == ["0 before", "1 before", "0 after"]
    assert (case.status, case.proposed) == ("WAIT", None)


def test_a_rule_that_raises_undoes_itself_and_all_before_it_but_no_transform():
    case = run_real(
        [spec("pass"), spec("pass", transform=True), spec("raise"), spec("pass")],
        "PENDING",
        "RUNNING",
    )
    assert case.log == ["0 before", "1 before", "2 before", "2 cleanup", "0 cleanup"]
    assert case.failed
    assert (case.status, case.proposed) == ("ABORT", None)


def test_a_failed_write_aborts_and_makes_the_rules_fizzle():
    bench, log = Bench(), []
    policy = Policy("MadeUp", lambda _: None, (real_rule(0, spec("pass"), log),))
    current = bench.state("PENDING")
    transition = engine.begin(
        policy,
        FlowTransition(
            flow_run(), current, bench.state("RUNNING"), bench.world, bench.mint, bench.settings
        ),
    )
    transition.abort("the row is refused")
    engine.finish(transition)
    assert log == ["0 before", "0 cleanup"]
    assert transition.validated is current


def test_the_validated_state_is_the_one_the_caller_has_written():
    bench, seen = Bench(), []
    rule = Rule[FlowTransition](
        name="Look", why="Made up.", after=lambda transition: seen.append(transition.validated)
    )
    transition = FlowTransition(
        flow_run(), None, bench.state("RUNNING"), bench.world, bench.mint, bench.settings
    )
    engine.begin(Policy("MadeUp", lambda _: None, (rule,)), transition)
    written = bench.state("RUNNING", "As written")
    engine.finish(transition, written)
    assert seen == [written]


def test_a_run_without_a_state_has_nothing_to_keep():
    with pytest.raises(AssertionError, match="nothing to keep"):
        run_real([spec("keep")], None, "RUNNING")


def test_phases_are_the_hooks_a_rule_has():
    rule = Rule[FlowTransition](name="A", why="B", before=lambda _: None, cleanup=lambda _: None)
    assert rule.phases == ("before", "cleanup")
    assert Rule[FlowTransition](name="A", why="B", after=lambda _: None).phases == ("after",)
