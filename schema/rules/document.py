"""The page of all transitions, written from the rules themselves: docs/state-machine.md.

`python -m lictor.schema.rules.document` prints it. The outcomes in it are not described but tried:
each is what the engine decides for a run that nothing particular is known of.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

from lictor.config.settings import Settings
from lictor.schema.mint import Mint
from lictor.schema.rules.engine import (
    ANY,
    STATE_TYPES,
    FlowTransition,
    Policy,
    Rule,
    TaskTransition,
    Transition,
    decide,
)
from lictor.schema.rules.policies import FLOW_CORE, FLOW_MINIMAL, POLICIES, TASK_CORE
from lictor.schema.rules.records import FlowRunRecord, State, TaskRunRecord
from lictor.schema.rules.world import FlowRunOfTask
from lictor.schema.wire.states import TERMINAL

_HEAD = """\
# States and transitions

Written from `schema/rules/policies.py` by `make docs`; a test compares. A client proposes a state;
the rules of a policy decide, in order, what becomes of it. "none" is a run without a state.

## What becomes of a proposal

Tried with a run that has no deployment, no result, no retries and is not paused for input, by the
engine itself. Rows: the state the run is in; columns: the state that is proposed.

- `yes`: accepted. `no`: refused, the run keeps its state. `stop`: refused, and the client is told
  to stop working on the run.
- `-> X`: refused, and the run becomes X instead.
"""
_TYPES = (None, *STATE_TYPES)
_ENDED = "ended"

Decision = tuple[str, str | None]
"""The answer's status, and the type of the state that is written, if one is."""
Try = Callable[[str | None, str], Decision]


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD]
    tables: tuple[tuple[str, Try], ...] = (
        ("Flow runs", _flow(FLOW_CORE)),
        ("Flow runs, by force and by the server itself", _flow(FLOW_MINIMAL)),
        ("Task runs, while their flow runs", _task(TASK_CORE)),
    )
    for title, tried in tables:
        parts.append(f"### {title}\n")
        parts.append("\n".join(_outcomes(tried)) + "\n")
    parts.append("## The way of a flow run\n")
    parts.append("The accepted proposals of the first table; the four ends are drawn as one.\n")
    parts.append("\n".join(_diagram(_flow(FLOW_CORE))) + "\n")
    parts.append("## Rules\n")
    for policy in POLICIES:
        parts.append(f"### {policy.name}\n")
        parts.append("\n".join(_rules(policy)) + "\n")
    return "\n".join(parts)


def _outcomes(tried: Try) -> Iterator[str]:
    yield f"| | {' | '.join(STATE_TYPES)} |"
    yield f"|{' --- |' * (len(STATE_TYPES) + 1)}"
    for current in _TYPES:
        cells = (_cell(*tried(current, to)) for to in STATE_TYPES)
        yield f"| **{current or 'none'}** | {' | '.join(cells)} |"


def _cell(status: str, written: str | None) -> str:
    if status == "ACCEPT":
        return "yes"
    if written is not None:
        return f"-> {written}"
    return {"REJECT": "no", "ABORT": "stop", "WAIT": "wait"}[status]


def _diagram(tried: Try) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    edges: dict[tuple[str, str], list[str]] = {}
    for current in _TYPES:
        for proposed in STATE_TYPES:
            status, _ = tried(current, proposed)
            edge = (_node(current), _node(proposed))
            if status == "ACCEPT" and edge[0] != edge[1]:
                label = proposed if proposed in TERMINAL else ""
                if label not in edges.setdefault(edge, []):
                    edges[edge].append(label)
    for (start, end), labels in edges.items():
        said = ", ".join(label for label in labels if label)
        every = set(labels) == TERMINAL
        yield f"    {start} --> {end}" + (f": {'any' if every else said}" if said else "")
    yield "```"


def _node(type_: str | None) -> str:
    if type_ is None:
        return "[*]"
    return _ENDED if type_ in TERMINAL else type_


def _rules(policy: Policy[Any]) -> Iterator[str]:
    yield "| # | rule | from | to | hooks | why |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for number, rule in enumerate(policy.rules, 1):
        yield (
            f"| {number} | {_name(rule)} | {_set(rule.from_types)} | {_set(rule.to_types)} |"
            f" {', '.join(rule.phases)} | {rule.why} |"
        )


def _name(rule: Rule[Any]) -> str:
    return f"{rule.name} (always)" if rule.transform else rule.name


def _set(types: frozenset[str | None]) -> str:
    if types == ANY:
        return "any"
    if types == TERMINAL:
        return "the four ends"
    named = [type_ or "none" for type_ in _TYPES if type_ in types]
    missing = [type_ or "none" for type_ in _TYPES if type_ not in types]
    if len(missing) < len(named):
        return f"any but {', '.join(missing)}"
    return ", ".join(named)


class _Nothing:
    """A store without other states, deployments, limits or caches; its one flow is running."""

    def flow_run_of_task(self, _flow_run_id: str) -> FlowRunOfTask:
        return FlowRunOfTask(run_count=1, state_type="RUNNING")

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return _none


def _none(*_args: object, **_named: object) -> None:
    return None


def _flow(policy: Policy[FlowTransition]) -> Try:
    def tried(current: str | None, proposed: str) -> Decision:
        mint = _mint()
        run = FlowRunRecord(mint.id(), "run", mint.id(), state_type=current, run_count=1)
        world = cast(Any, _Nothing())
        states = _state(current, mint), _state(proposed, mint)
        assert states[1] is not None
        return _decided(policy, FlowTransition(run, states[0], states[1], world, mint, Settings()))

    return tried


def _task(policy: Policy[TaskTransition]) -> Try:
    def tried(current: str | None, proposed: str) -> Decision:
        mint = _mint()
        run = TaskRunRecord(mint.id(), "run", "key", mint.id(), state_type=current, run_count=1)
        world = cast(Any, _Nothing())
        states = _state(current, mint), _state(proposed, mint)
        assert states[1] is not None
        return _decided(policy, TaskTransition(run, states[0], states[1], world, mint, Settings()))

    return tried


def _decided(policy: Policy[Any], transition: Transition[Any]) -> Decision:
    decide(policy, transition)
    written = transition.proposed
    return transition.status, None if written is None else written.type


def _state(type_: str | None, mint: Mint) -> State | None:
    return None if type_ is None else State(mint.id(), type_, type_.capitalize(), mint.now())


def _mint() -> Mint:
    """The same at every call, so that the page is."""
    return Mint(wall_ns=lambda: 1_800_000_000_000_000_000, random=random.Random(0))


if __name__ == "__main__":
    sys.stdout.write(markdown())
