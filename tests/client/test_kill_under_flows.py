"""kill -9 while flows run: the unmodified client rides it out, nothing is lost, nothing runs twice.

`tests/soak/served_flows.py` is the same with fifty runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from lictor_process import Start
from served import Scene
from served_proof import wrong_with_run, wrong_with_runs_of, wrong_with_schedule

SERVED = 4
POOLED = 1
DOWN_S = 1.0
DAY = timedelta(days=1)


@pytest.fixture
def scene(start: Start, prefect_python: Path, tmp_path: Path) -> Iterator[Scene]:
    often = {
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "1",
    }
    scene = Scene(start, prefect_python, tmp_path, **often)
    yield scene
    scene.end()


def test_a_kill_under_served_flows_and_a_worker_loses_nothing_and_repeats_nothing(
    scene: Scene,
) -> None:
    scene.serve_and_work(limit=SERVED + 1, tick_s=3600)
    served = scene.create(SERVED, "gated/served", "served")
    pooled = scene.create(POOLED, "gated/pooled", "pooled")
    scene.until_all_wait([*served, *pooled])
    before = scene.last_heartbeat()
    with scene.killed(DOWN_S):
        # Their tasks end, log and report while nobody listens.
        scene.open("served")
    scene.open("pooled")
    served += scene.create(1, "gated/served", "served")
    scene.until_all_ended([*served, *pooled])
    wrong = [each for run_id in (*served, *pooled) for each in wrong_with_run(scene, run_id)]
    wrong += wrong_with_runs_of(scene, "gated/served", served)
    wrong += wrong_with_runs_of(scene, "gated/pooled", pooled)
    wrong += wrong_with_schedule(scene, "gated/served", DAY)
    wrong += wrong_with_schedule(scene, "gated/pooled", DAY)
    assert not wrong, "\n".join([*wrong, scene.said()])
    assert scene.is_running("runner")
    assert scene.is_running("worker")
    scene.until(lambda: scene.last_heartbeat() != before, "the worker is heard of again")
