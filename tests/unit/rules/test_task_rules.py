"""The rules of task runs one by one: what the tables of outcomes do not show."""

from __future__ import annotations

import msgspec
import pytest
from rules_bench import RESULT, Bench, task_run, verdict

from lictor.schema.errors import Missing
from lictor.schema.rules import policies
from lictor.schema.rules.world import FlowRunOfTask
from lictor.schema.wire.states import TERMINAL

# The cache


def cached(bench: Bench, key: str = "k", expiration: str | None = None, **details) -> None:
    """Let a task run complete under a cache key."""
    bench.task(
        task_run(),
        bench.state("RUNNING"),
        bench.state(
            "COMPLETED", message="once", data=RESULT, cache_key=key, cache_expiration=expiration,
            **details,
        ),
    )  # fmt: skip


def test_a_cached_state_answers_a_later_run_at_once(bench):
    cached(bench, traceparent="trace")
    original = bench.world.cached_state("k", bench.mint.now())
    bench.clock.advance(5)
    run = task_run(flow_run_id="other")
    run.id = "second"
    hit = bench.task(run, bench.state("PENDING"), bench.state("RUNNING", cache_key="k"))
    state = hit.proposed
    assert verdict(hit) == ("REJECT", "COMPLETED")
    assert (state.name, state.message, state.data) == ("Cached", "once", RESULT)
    assert state.id != original.id
    assert state.timestamp == bench.mint.now()
    assert state.details.traceparent == "trace"
    assert (state.details.flow_run_id, state.details.task_run_id) == ("other", "second")
    assert run.run_count == 0
    assert run.start_time == run.end_time == state.timestamp
    assert bench.world.states[original.id].name == "Completed"


def test_a_hit_is_not_cached_again(bench):
    cached(bench)
    bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING", cache_key="k"))
    assert len(bench.world.cache) == 1


def test_a_cached_state_answers_even_when_the_flow_has_stopped(bench):
    cached(bench)
    bench.world.flow_run = FlowRunOfTask(1, "CANCELLED")
    hit = bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING", cache_key="k"))
    assert verdict(hit) == ("REJECT", "COMPLETED")


@pytest.mark.parametrize(
    "details",
    [{"cache_key": "other"}, {"cache_key": "k", "refresh_cache": True}, {"cache_key": ""}, {}],
)
def test_when_the_cache_is_not_asked_or_has_nothing(bench, details):
    cached(bench)
    miss = bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING", **details))
    assert verdict(miss) == ("ACCEPT", "RUNNING")


def test_an_expired_entry_is_passed_over_for_an_older_one_that_holds(bench):
    cached(bench)
    cached(bench, expiration=bench.at(10))
    kept = [state_id for _, _, state_id in bench.world.cache]
    assert bench.world.cached_state("k", bench.mint.now()).id == kept[1]
    bench.clock.advance(10)
    hit = bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING", cache_key="k"))
    assert verdict(hit) == ("REJECT", "COMPLETED")
    bench.world.states.pop(kept[0])
    miss = bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING", cache_key="k"))
    assert verdict(miss) == ("ACCEPT", "RUNNING")


def test_force_neither_reads_nor_fills_the_cache(bench):
    cached(bench)
    forced = bench.task(
        task_run(), None, bench.state("RUNNING", cache_key="k"), policies.TASK_MINIMAL
    )
    assert forced.status == "ACCEPT"
    bench.task(task_run(), None, bench.state("COMPLETED", cache_key="x"), policies.TASK_MINIMAL)
    assert [key for key, _, _ in bench.world.cache] == ["k"]


def test_a_key_over_the_limit_is_refused_and_its_state_written_and_cached(bench):
    limit = bench.settings.task_cache_key_length_max
    for length, status in ((limit, "ACCEPT"), (limit + 1, "REJECT")):
        proposed = bench.state("COMPLETED", cache_key="x" * length)
        transition = bench.task(task_run(), bench.state("RUNNING"), proposed)
        assert verdict(transition) == (status, "COMPLETED")
        assert transition.proposed is proposed
        assert bench.world.cache[-1] == ("x" * length, None, proposed.id)


@pytest.mark.parametrize("type_", ["FAILED", "CRASHED", "CANCELLED", "PENDING"])
def test_only_completed_states_are_cached(bench, type_):
    bench.task(task_run(), bench.state("RUNNING"), bench.state(type_, cache_key="k"))
    assert bench.world.cache == []


def test_a_completion_that_is_refused_is_not_cached(bench):
    current = bench.state("COMPLETED", data=RESULT)
    refused = bench.task(task_run(), current, bench.state("COMPLETED", cache_key="k"))
    assert verdict(refused) == ("REJECT", None)
    assert bench.world.cache == []


# Leaving a terminal state


@pytest.mark.parametrize("from_type", sorted(TERMINAL))
def test_leaving_a_terminal_state_gives_the_retries_back(bench, from_type):
    run = task_run(run_count=3)
    bench.task(run, bench.state(from_type), bench.state("PENDING"))
    assert run.run_count == 0
    bench.task(run, bench.state(from_type), bench.state("FAILED"))
    assert run.run_count == 0


def test_from_one_terminal_state_to_another_the_count_stays(bench):
    run = task_run(run_count=3)
    bench.task(run, bench.state("FAILED"), bench.state("COMPLETED"))
    assert run.run_count == 3


@pytest.mark.parametrize("flow_type", ["CANCELLED", "PAUSED"])
def test_the_count_is_restored_when_the_flow_forbids_the_rerun(bench, flow_type):
    bench.world.flow_run = FlowRunOfTask(2, flow_type)
    run = task_run(run_count=3)
    bench.task(run, bench.state("FAILED"), bench.state("RUNNING"))
    assert run.run_count == 3
    assert run.flow_run_run_count == 0


@pytest.mark.parametrize(
    ("attempt_of_task", "attempt_of_flow", "name"), [(1, 2, "Retrying"), (1, 1, "Running")]
)
def test_a_rerun_for_a_retried_flow_is_called_retrying(
    bench, attempt_of_task, attempt_of_flow, name
):
    bench.world.flow_run = FlowRunOfTask(attempt_of_flow, "RUNNING")
    run = task_run(run_count=2, flow_run_run_count=attempt_of_task)
    transition = bench.task(run, bench.state("FAILED"), bench.state("RUNNING"))
    assert transition.proposed.name == run.state_name == name
    assert (run.run_count, run.flow_run_run_count) == (1, attempt_of_flow)


def test_a_stored_marker_of_no_result_does_not_hold_a_task_back(bench):
    for data, status in ((b'{"type":"unpersisted"}', "ACCEPT"), (b'{"type":"x"}', "REJECT")):
        current = bench.state("COMPLETED", data=msgspec.Raw(data))
        assert bench.task(task_run(), current, bench.state("RUNNING")).status == status


# The flow run


def test_a_task_of_a_paused_flow_is_paused_with_it(bench):
    deadline = bench.at(3600)
    bench.world.flow_run = FlowRunOfTask(1, "PAUSED", deadline, True)
    paused = bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING"))
    assert verdict(paused) == ("REJECT", "PAUSED")
    assert paused.proposed.name == "NotReady"
    assert paused.proposed.details.pause_timeout == deadline
    assert paused.proposed.details.pause_reschedule is True


def test_the_flow_run_is_looked_up_once(bench):
    bench.task(task_run(run_count=1), bench.state("FAILED"), bench.state("RUNNING"))
    assert bench.world.flow_run_lookups == 1


def test_a_task_outside_of_flows_asks_for_none(bench):
    run = task_run(flow_run_id=None)
    transition = bench.task(run, bench.state("PENDING"), bench.state("RUNNING"))
    assert transition.status == "ACCEPT"
    assert transition.proposed.details.flow_run_id is None
    assert bench.world.flow_run_lookups == 0
    assert run.flow_run_run_count == 0


def test_a_task_whose_flow_run_is_gone_cannot_start(bench):
    bench.world.flow_run = None
    with pytest.raises(Missing, match="run"):
        bench.task(task_run(), bench.state("PENDING"), bench.state("RUNNING"))


# Retries


@pytest.mark.parametrize(
    ("policy", "run_count", "delay_s"),
    [
        ({"retries": 1}, 1, 0),
        ({"retries": 1, "retry_delay": 300}, 1, 300),
        ({"retries": 1, "retry_delay": 0.25}, 1, 0.25),
        ({"retries": 3, "retry_delay": [60, 600]}, 1, 60),
        ({"retries": 3, "retry_delay": [60, 600]}, 2, 600),
        ({"retries": 3, "retry_delay": [60, 600]}, 3, 600),
        ({"retries": 3, "retry_delay": [60, 600]}, 0, 60),
        ({"retries": 1, "retry_delay": []}, 1, 0),
        ({"retries": 1, "retry_delay": 0, "retry_jitter_factor": 1.0}, 1, 0),
        ({"retries": 1, "retry_delay": 7, "retry_jitter_factor": 0.0}, 1, 7),
    ],
)
def test_how_long_a_failed_task_waits(bench, policy, run_count, delay_s):
    run = task_run(policy, run_count=run_count)
    failed = bench.state("FAILED", message="boom", data=RESULT)
    retry = bench.task(run, bench.state("RUNNING"), failed)
    assert verdict(retry) == ("REJECT", "SCHEDULED")
    state = retry.proposed
    assert (state.name, state.message, state.data) == ("AwaitingRetry", "boom", RESULT)
    assert state.details.scheduled_time == bench.at(delay_s)
    assert run.next_scheduled_start_time == bench.at(delay_s)


def test_jitter_spreads_the_retries_within_its_bounds():
    waits = set()
    for seed in range(50):
        bench = Bench(seed)
        policy = {"retries": 1, "retry_delay": 100, "retry_jitter_factor": 0.5}
        run = task_run(policy, run_count=1)
        bench.task(run, bench.state("RUNNING"), bench.state("FAILED"))
        waits.add(run.next_scheduled_start_time)
        assert bench.at(60) < run.next_scheduled_start_time <= bench.at(150)
    assert len(waits) == 50


@pytest.mark.parametrize(
    ("retries", "run_count", "retriable", "retried"),
    [
        (None, 1, None, False),
        (0, 1, None, False),
        (1, 1, None, True),
        (1, 1, True, True),
        (1, 1, False, False),
        (1, 2, None, False),
    ],
)
def test_how_many_attempts_a_task_has(bench, retries, run_count, retriable, retried):
    run = task_run({"retries": retries}, run_count=run_count)
    failed = bench.state("FAILED", retriable=retriable)
    transition = bench.task(run, bench.state("RUNNING"), failed)
    assert verdict(transition) == (("REJECT", "SCHEDULED") if retried else ("ACCEPT", "FAILED"))


@pytest.mark.parametrize(
    ("current", "run_count", "name"),
    [
        (None, 1, "Mine"),
        (("PENDING", None), 0, "Mine"),
        (("PENDING", None), 1, "Rerunning"),
        (("RUNNING", None), 1, "Rerunning"),
        (("SCHEDULED", "AwaitingRetry"), 1, "Retrying"),
        (("SCHEDULED", "AwaitingRetry"), 0, "Mine"),
    ],
)
def test_the_name_of_a_further_attempt(bench, current, run_count, name):
    run = task_run(run_count=run_count, flow_run_run_count=1)
    before = None if current is None else bench.state(*current)
    transition = bench.task(run, before, bench.state("RUNNING", "Mine"))
    assert transition.proposed.name == run.state_name == name
    assert run.run_count == run_count + 1


def test_a_task_run_waits_for_its_time_and_keeps_it_while_pending(bench):
    run = task_run()
    current = bench.state("SCHEDULED", scheduled_time=bench.at(60))
    assert bench.task(run, current, bench.state("RUNNING")).delay_seconds == 60
    pending = bench.task(run, current, bench.state("PENDING")).validated
    assert pending.details.scheduled_time == bench.at(60)
    assert bench.task(run, pending, bench.state("RUNNING")).delay_seconds == 60


# Background tasks


def test_the_parameters_of_a_background_task_stay_known_until_it_runs(bench):
    run = task_run(flow_run_id=None)
    state = bench.state("SCHEDULED", deferred=True, task_parameters_id="p-1")
    for type_ in ("PENDING", "RUNNING"):
        proposed = bench.state(type_, deferred=True)
        state = bench.task(run, state, proposed, policies.TASK_BACKGROUND).validated
        assert state.details.task_parameters_id == "p-1"
    own = bench.state("RUNNING", task_parameters_id="p-2")
    bench.task(run, bench.state("PENDING", task_parameters_id="p-1"), own, policies.TASK_BACKGROUND)
    assert own.details.task_parameters_id == "p-2"


def test_other_tasks_do_not_carry_parameters_on(bench):
    current = bench.state("PENDING", task_parameters_id="p-1")
    started = bench.task(task_run(), current, bench.state("RUNNING"))
    assert started.proposed.details.task_parameters_id is None


@pytest.mark.parametrize(
    ("name", "deferred", "queued"),
    [
        ("Scheduled", True, [("add", "task", False)]),
        ("AwaitingRetry", True, [("add", "task", True)]),
        ("Scheduled", False, []),
        ("Scheduled", None, []),
    ],
)
def test_a_deferred_task_is_delivered_when_it_is_scheduled(bench, name, deferred, queued):
    proposed = bench.state("SCHEDULED", name, deferred=deferred)
    bench.task(task_run(), None, proposed, policies.TASK_BACKGROUND)
    assert bench.world.queue == queued


def test_a_retry_that_the_server_makes_is_left_to_the_worker_that_has_the_task(bench):
    run = task_run({"retries": 1}, run_count=1)
    failed = bench.state("FAILED", deferred=True)
    retry = bench.task(run, bench.state("RUNNING"), failed, policies.TASK_BACKGROUND)
    assert retry.proposed.name == "AwaitingRetry"
    assert bench.world.queue == []


def test_a_background_task_is_submitted_once(bench):
    current = bench.state("PENDING", scheduled_time=bench.at(-1))
    again = bench.task(task_run(), current, bench.state("PENDING"), policies.TASK_BACKGROUND)
    assert verdict(again) == ("ABORT", None)
    step = bench.state("PENDING", "Submitting")
    assert bench.task(task_run(), current, step, policies.TASK_BACKGROUND).status == "ACCEPT"
    assert step.details.scheduled_time == bench.at(-1)
    assert bench.task(task_run(), current, bench.state("PENDING")).status == "ACCEPT"
