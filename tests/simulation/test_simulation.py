"""Histories from seeds: every promise is kept, and a seed says everything about its history.

LICTOR_SIMULATION_SEEDS is how many (200), LICTOR_SIMULATION_FIRST the first of them (1).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.oracles import Stream
from simulation.plan import Plan
from simulation.wrong import Wrong

TREE = Path(__file__).parents[2]


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the script as a developer would."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=TREE,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )


def test_whatever_happens_every_promise_is_kept() -> None:
    done = simulate()
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def test_the_same_seed_gives_the_same_history() -> None:
    seeds = ["--first", "11", "--seeds", "4", "--digests"]
    once = digests(simulate(*seeds, "--processes", "1", hash_seed="random"))
    again = digests(simulate(*seeds, "--processes", "2"))
    assert once == again
    assert len(set(once)) == 4, once


def digests(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(line for line in done.stdout.splitlines() if line.startswith("seed "))


def test_seeds_differ_in_all_that_is_drawn() -> None:
    plans = [vars(Plan(seed)) for seed in range(200)]
    for what in plans[0]:
        assert len({repr(plan[what]) for plan in plans}) > 1, what
    kinds = {fault.kind for plan in plans for fault in plan["faults"]}
    assert len(kinds) == 10


STORED = [(1, "a"), (2, "b"), (5, "c"), (6, "d")]


@pytest.mark.parametrize("received", ["cd", "bcd", "abcd"])
def test_a_stream_without_a_gap_is_right(received: str) -> None:
    check(received, since=2)


@pytest.mark.parametrize("received", ["", "d", "bd", "dc", "c", "cx"])
def test_a_stream_with_a_gap_or_out_of_order_is_wrong(received: str) -> None:
    with pytest.raises(Wrong):
        check(received, since=2)


def test_a_stream_with_a_double_is_wrong() -> None:
    with pytest.raises(Wrong):
        check("ccd", since=2)


def check(received: str, since: int) -> None:
    stream = Stream("a stream", since)
    for id_ in received:
        stream.receive(id_)
    stream.check(STORED, to_the_end=True)
