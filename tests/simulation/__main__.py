"""`python -m tests.simulation --seeds 2000`: run many histories; say how to repeat a bad one."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TREE = Path(__file__).parents[2]
sys.path.insert(0, str(TREE / "tests"))

from simulation.history import Outcome, simulate  # noqa: E402

HISTORY_S_MAX = 60
"""Real seconds: about a hundred times as many as a history takes."""


def main() -> int:
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of a history.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    commits = crashes = 0
    virtual_s = 0.0
    bad: list[Outcome] = []
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for number, outcome in enumerate(pool.imap_unordered(_simulate, seeds), 1):
            commits += outcome.commits
            crashes += outcome.crashes
            virtual_s += outcome.virtual_s
            if outcome.failure:
                bad.append(outcome)
                _report(outcome, brief=len(bad) > options.failures)
            if options.digests:
                print(f"seed {outcome.seed}: {outcome.digest}", flush=True)
            if number % options.progress == 0:
                print(f"{number} of {len(seeds)}, {len(bad)} bad", flush=True)
    print(
        f"{len(seeds)} histories, {virtual_s / 86_400:.1f} virtual days, {commits} commits,"
        f" {crashes} crashes, {len(bad)} bad, {time.monotonic() - began:.1f} s"
    )
    if bad:
        print("bad seeds:", *sorted(outcome.seed for outcome in bad))
    return 1 if bad else 0


def _simulate(seed: int) -> Outcome:
    """The history of `seed`; one that goes round in circles is ended, and is bad."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(HISTORY_S_MAX)
    try:
        return simulate(seed)
    finally:
        signal.alarm(0)


def _give_up(_number: int, _frame: object) -> None:
    raise TimeoutError(f"the history has not ended in {HISTORY_S_MAX} s of real time")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    environment = os.environ.get
    first = int(environment("LICTOR_SIMULATION_FIRST", "1"))
    seeds = int(environment("LICTOR_SIMULATION_SEEDS", "200"))
    parser.add_argument("--first", type=int, default=first, help="the first seed")
    parser.add_argument("--seeds", type=int, default=seeds, help="how many")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--progress", type=int, default=500, help="say so after so many")
    parser.add_argument("--failures", type=int, default=3, help="how many to tell in full")
    parser.add_argument("--digests", action="store_true", help="print the digest of each")
    return parser.parse_args()


def _report(outcome: Outcome, *, brief: bool) -> None:
    text = outcome.failure.strip()
    print(f"seed {outcome.seed} at {_commit()}:", text.splitlines()[-1] if brief else f"\n{text}")
    print(f"replay: python -m tests.simulation --first {outcome.seed} --seeds 1\n", flush=True)


def _commit() -> str:
    """What is checked out, as far as it is known."""
    command = ["git", "-C", str(TREE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "?"
    except OSError:
        return "?"


if __name__ == "__main__":
    sys.exit(main())
