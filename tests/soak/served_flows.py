"""Kills the server under fifty served flows and a worker: `make soak-served`, ten minutes.

The unmodified Prefect client with its defaults rides it out within its own retries. The first kill
comes while every run waits in a task, whose gate opens while the server is away; two more while
runs are made and their processes start. Prints what is wrong, and fails if anything is.

With `--held` the address stays open while the server is away, as under systemd's socket unit.
Without it, a process whose very first request is refused gives up at once, and its run is Crashed
before a line of it has run; one whose first socket or log lines are refused drops its events or
those lines (docs/operations.md). Of runs that start under a kill the first are counted then, and of
the others only what they did and their states are looked at.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "client"
sys.path.insert(0, str(CLIENT))

from lictor_process import starting  # noqa: E402
from served import Scene  # noqa: E402
from served_proof import (  # noqa: E402
    wrong_with_execution,
    wrong_with_run,
    wrong_with_runs_of,
    wrong_with_schedule,
    wrong_with_ticks,
)

PYTHON = Path(__file__).parents[2] / ".venv-prefect/bin/python"
TICK_S = 30
DOWN_S = (1.0, 3.0)
LATE_RUNS = 12
"""So many more runs are made while the server is killed twice."""
DAY = timedelta(days=1)
PATIENCE_S = 900.0


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def kill_under_running(scene: Scene, chance: random.Random, runs: int, pooled: int) -> None:
    scene.begin_to_create(runs, "gated/served", "served")
    scene.begin_to_create(pooled, "gated/pooled", "pooled")
    ids = [*scene.created("served"), *scene.created("pooled")]
    say(f"{len(ids)} runs are made")
    scene.until_all_wait(ids)
    say("all of them are RUNNING: kill")
    with scene.killed(chance.uniform(*DOWN_S)):
        scene.open("served")
    say("the server is back")
    scene.open("pooled")
    scene.until_all_ended(ids)
    say("all of them have ended")


def kill_under_starting(scene: Scene, chance: random.Random) -> None:
    scene.open("late")
    scene.begin_to_create(LATE_RUNS, "gated/served", "late")
    made = chance.randint(1, LATE_RUNS - 1)
    scene.until(lambda: len(scene.created_so_far("late")) >= made, "some runs are made")
    say("runs are being made: kill")
    with scene.killed(chance.uniform(*DOWN_S)):
        pass
    say("the server is back")
    ids = scene.created("late")
    scene.until(lambda: any(scene.notes(run_id) for run_id in ids), "some runs have started")
    say("runs are being started: kill")
    with scene.killed(chance.uniform(*DOWN_S)):
        pass
    say("the server is back")
    scene.until_all_ended(ids)
    say("all of them have ended")


def refused(scene: Scene, run_id: str) -> bool:
    """Whether the run is Crashed without having begun."""
    crashed = scene.ask(f"/flow_runs/{run_id}")["state_name"] == "Crashed"
    return crashed and not scene.notes(run_id)


def still_alive(scene: Scene) -> list[str]:
    """After all that, runner and worker take new runs."""
    dead = [f"the {name} has ended" for name in ("runner", "worker") if not scene.is_running(name)]
    if not dead:
        scene.open("last")
        ids = scene.create(1, "gated/served", "last") + scene.create(1, "gated/pooled", "last")
        scene.until_all_ended(ids)
        dead = [each for run_id in ids for each in wrong_with_run(scene, run_id)]
    return dead


def all_wrong(scene: Scene, ticks_until: datetime, held: bool) -> list[str]:
    served, pooled = scene.created("served"), scene.created("pooled")
    late = scene.created("late")
    wrong = [each for run_id in (*served, *pooled) for each in wrong_with_run(scene, run_id)]
    spared: set[str] = set()
    if not held:
        ticks = [run["id"] for run in scene.runs_of("tick/ticking")]
        spared = {each for each in (*late, *ticks) if refused(scene, each)}
        say(f"{len(spared)} runs were refused their first request")
    check = wrong_with_run if held else wrong_with_execution
    wrong += [each for run_id in late if run_id not in spared for each in check(scene, run_id)]
    wrong += wrong_with_runs_of(scene, "gated/served", [*served, *late])
    wrong += wrong_with_runs_of(scene, "gated/pooled", pooled)
    wrong += wrong_with_schedule(scene, "gated/served", DAY)
    wrong += wrong_with_schedule(scene, "gated/pooled", DAY)
    wrong += wrong_with_schedule(scene, "tick/ticking", timedelta(seconds=TICK_S))
    return wrong + wrong_with_ticks(scene, ticks_until, spared)


def play(scene: Scene, chosen: argparse.Namespace) -> list[str]:
    """The whole of it; what is wrong in the end."""
    chance = random.Random(chosen.seed)
    scene.serve_and_work(limit=chosen.runs + LATE_RUNS, tick_s=TICK_S)
    say("runner and worker are there")
    kill_under_running(scene, chance, chosen.runs, chosen.pooled)
    kill_under_starting(scene, chance)
    until = datetime.now(UTC) - timedelta(seconds=2 * TICK_S)
    return all_wrong(scene, until, chosen.held) + still_alive(scene)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--runs", type=int, default=50, help="served runs at once")
    words.add_argument("--pooled", type=int, default=3, help="runs of the worker")
    words.add_argument("--held", action="store_true", help="hold the address while it is away")
    words.add_argument("--seed", type=int, default=int(time.time()))
    chosen = words.parse_args()
    say(f"seed {chosen.seed}")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
        starting(Path(directory)) as start,
        socket.create_server(("127.0.0.1", 0)) as address,
    ):
        held = address if chosen.held else None
        scene = Scene(start, PYTHON, Path(directory), patience_s=PATIENCE_S, held=held)
        try:
            wrong = play(scene, chosen)
        finally:
            scene.end()
        if wrong:
            print(scene.said())
    print("\n".join(wrong) or "nothing is lost, nothing is there twice")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
