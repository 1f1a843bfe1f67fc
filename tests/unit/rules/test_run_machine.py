"""Whatever is proposed to a run, in whatever order: what must stay true of it."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from rules_bench import RESULT, UNPERSISTED, Bench, flow_run, task_run

from lictor.schema.rules import policies
from lictor.schema.rules.engine import STATE_TYPES
from lictor.schema.rules.records import State
from lictor.schema.rules.world import FlowRunOfTask
from lictor.schema.wire.states import TERMINAL

FORBIDDEN_FROM_TERMINAL = ("CANCELLING", "PAUSED", "CRASHED")

names = st.sampled_from((None, None, "Late", "Suspended", "Resuming", "AwaitingRetry", "Odd"))
datas = st.sampled_from((None, RESULT, UNPERSISTED, "text", {}))
proposals = st.fixed_dictionaries(
    {"type_": st.sampled_from(STATE_TYPES), "name": names, "data": datas},
    optional={
        "transition_id": st.sampled_from(("t-1", "t-2")),
        "pause_key": st.sampled_from(("k", "l")),
        "pause_reschedule": st.booleans(),
        "deployment_concurrency_lease_id": st.just("lease"),
        "cache_key": st.sampled_from(("c", "d", "x" * 2001)),
        "refresh_cache": st.booleans(),
        "retriable": st.booleans(),
        "due_in_s": st.integers(-10, 10),
        "expires_in_s": st.integers(-10, 10),
    },
)


class RunMachine(RuleBasedStateMachine):
    """What both kinds of runs have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.current: State | None = None
        self.history: list[State] = []
        self.run: Any = None

    def proposed(self, wanted: dict[str, Any]) -> State:
        details = dict(wanted)
        if (due := details.pop("due_in_s", None)) is not None:
            details["scheduled_time"] = self.bench.at(due)
        if (expires := details.pop("expires_in_s", None)) is not None:
            details["pause_timeout"] = self.bench.at(expires)
        return self.bench.state(**details)

    @rule(seconds=st.sampled_from((0, 0.000001, 0.6, 5, 3600, -2)))
    def time_passes(self, seconds):
        self.bench.clock.advance(seconds)

    def concluded(self, transition: Any, before: Any) -> None:
        """Check one decision against the states around it."""
        written = transition.proposed
        assert (transition.reason is None) == (transition.status == "ACCEPT")
        assert (transition.delay_seconds is not None) == (transition.status == "WAIT")
        if transition.status == "ACCEPT":
            assert written is not None
        if transition.status in ("WAIT", "ABORT"):
            assert written is None
        if written is None:
            assert transition.validated is self.current
            assert self.run.state_id == before.state_id
            assert self.run.total_run_time == before.total_run_time
            assert self.run.run_count == before.run_count
            return
        assert transition.validated is written
        assert written.timestamp not in [state.timestamp for state in self.history]
        assert written.id not in [state.id for state in self.history]
        assert self.run.total_run_time >= before.total_run_time
        if before.start_time is not None:
            assert self.run.start_time == before.start_time
        if before.expected_start_time is not None:
            assert self.run.expected_start_time == before.expected_start_time
        self.history.append(written)
        self.current = written

    @invariant()
    def the_run_mirrors_its_state(self):
        run, current = self.run, self.current
        if run is None:
            return
        if current is None:
            assert run.state_id is None
            return
        assert (run.state_id, run.state_type, run.state_name, run.state_timestamp) == (
            *(current.id, current.type, current.name, current.timestamp),
        )
        assert (run.end_time is not None) == (current.type in TERMINAL)
        assert run.end_time is None or run.start_time is not None
        assert (run.next_scheduled_start_time is not None) == (current.type == "SCHEDULED")
        assert run.expected_start_time is not None
        assert current.type != "RUNNING" or run.start_time is not None


class FlowRunMachine(RunMachine):
    @initialize(
        deployment=st.booleans(),
        pid=st.booleans(),
        retries=st.sampled_from((None, 0, 2)),
    )
    def create(self, deployment, pid, retries):
        self.run = flow_run(
            {"retries": retries},
            deployment_id="deployment" if deployment else None,
            infrastructure_pid="host:1" if pid else None,
        )

    @rule(wanted=proposals, force=st.booleans())
    def propose(self, wanted, force):
        before, current = copy.copy(self.run), self.current
        proposed = self.proposed(wanted)
        result_at_stake = (
            current is not None
            and current.type == "COMPLETED"
            and (isinstance(current.data, dict) and current.data.get("storage"))
        )
        transition = self.bench.flow(self.run, current, proposed, policies.flow_policy(force))
        self.concluded(transition, before)
        written = transition.proposed
        if current is not None and written is not None:
            lease = current.details.deployment_concurrency_lease_id
            if transition.status == "ACCEPT" and lease is not None:
                assert written.details.deployment_concurrency_lease_id == lease
        if result_at_stake and written is not None and written.type == "COMPLETED":
            assert isinstance(written.data, dict)
            assert written.data.get("type") != "unpersisted"
        if force or current is None or written is None:
            return
        if current.type == "CANCELLING":
            assert written.type == "CANCELLED"
        if current.type in TERMINAL:
            assert written.type not in FORBIDDEN_FROM_TERMINAL
            assert not result_at_stake or written.type in TERMINAL
            assert written.type != "SCHEDULED" or self.run.deployment_id is not None
        if written.type == "PAUSED":
            assert current.type == "RUNNING"
        if current.type in ("RUNNING", "CANCELLED"):
            assert written.type != "PENDING"

    @invariant()
    def pauses_are_counted_once(self):
        if self.run is not None:
            keys = self.run.empirical_policy.pause_keys
            assert len(set(keys)) == len(keys)

    @invariant()
    def attempts_are_never_more_than_entries_into_running(self):
        if self.run is not None:
            entries = sum(state.type == "RUNNING" for state in self.history)
            assert 0 <= self.run.run_count <= entries


class TaskRunMachine(RunMachine):
    @initialize(
        in_flow=st.booleans(),
        retries=st.sampled_from((None, 0, 2)),
        delay=st.sampled_from((None, 3, [1, 2])),
        factor=st.sampled_from((None, 0.5)),
    )
    def create(self, in_flow, retries, delay, factor):
        self.run = task_run(
            {"retries": retries, "retry_delay": delay, "retry_jitter_factor": factor},
            flow_run_id="run" if in_flow else None,
        )

    @rule(type_=st.sampled_from((*STATE_TYPES, None)), run_count=st.integers(0, 3))
    def the_flow_moves(self, type_, run_count):
        self.bench.world.flow_run = FlowRunOfTask(run_count, type_)

    @rule(wanted=proposals, force=st.booleans(), deferred=st.booleans())
    def propose(self, wanted, force, deferred):
        before, current = copy.copy(self.run), self.current
        proposed = self.proposed({**wanted, "deferred": deferred})
        policy = policies.task_policy(force, deferred)
        cached = len(self.bench.world.cache)
        transition = self.bench.task(self.run, current, proposed, policy)
        self.concluded(transition, before)
        written = transition.proposed
        assert len(self.bench.world.cache) - cached == (
            policy is not policies.TASK_MINIMAL
            and written is not None
            and proposed.type == "COMPLETED"
            and bool(proposed.details.cache_key)
        )
        if policy is policies.TASK_MINIMAL or current is None or written is None:
            return
        if current.type in TERMINAL:
            assert written.type not in FORBIDDEN_FROM_TERMINAL or written.name == "NotReady"
            result = current.type == "COMPLETED" and current.data
            from_cache = written.name == "Cached"
            assert not result or current.data == UNPERSISTED or from_cache
        if written.type == "RUNNING" and policy is policies.TASK_CORE:
            flow = self.bench.world.flow_run
            assert self.run.flow_run_id is None or flow.state_type == "RUNNING"

    @invariant()
    def attempts_are_never_more_than_entries_into_running(self):
        if self.run is not None:
            entries = sum(state.type == "RUNNING" for state in self.history)
            assert 0 <= self.run.run_count <= entries


TestFlowRun = FlowRunMachine.TestCase
TestTaskRun = TaskRunMachine.TestCase
TestFlowRun.settings = TestTaskRun.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None
)
