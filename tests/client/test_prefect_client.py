"""The unmodified Prefect client and command line against a started lictor."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lictor_process import Lictor, Start, clean_environment

PROGRAMS = Path(__file__).parent / "programs"
PATIENCE_S = 120.0
"""A Prefect process takes seconds to start, and more of them on a busy machine."""


class Prefect:
    """Runs Prefect in processes of its own, with a profile of its own, against one lictor."""

    def __init__(self, python: Path, lictor: Lictor, home: Path) -> None:
        self.lictor = lictor
        self._python = python
        self._environment = clean_environment(
            PREFECT_API_URL=lictor.url,
            PREFECT_HOME=str(home),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
            COLUMNS="200",
            NO_COLOR="1",
        )

    def program(self, name: str, *words: str) -> Any:
        """What a program of `programs/` prints, as JSON."""
        out = self._run(str(PROGRAMS / f"{name}.py"), *words)
        return msgspec.json.decode(out.strip().splitlines()[-1])

    def command(self, *words: str) -> str:
        """The output of `prefect …`."""
        return self._run("-m", "prefect", *words)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [self._python, *words],
            env=self._environment,
            capture_output=True,
            timeout=PATIENCE_S,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def prefect(start: Start, prefect_python: Path, tmp_path: Path) -> Iterator[Prefect]:
    """Prefect's client with a lictor behind it, which must end with 0 when it is told to."""
    lictor = start().until_ready()
    yield Prefect(prefect_python, lictor, tmp_path / "prefect")
    code, _, log = lictor.stop()
    assert code == 0, log
    assert '"error"' not in log, log


def test_a_flow_with_retries_mapped_tasks_and_a_subflow_is_read_back_as_it_ran(
    prefect: Prefect,
) -> None:
    run_id, result = prefect.program("nightly")
    assert result == 6
    told = prefect.program("read_back", run_id)
    assert told["name"] == "tonight"
    assert told["states"] == ["Pending", "Running", "Completed"]
    assert told["task_runs"] == [
        ["double", "Completed", 1],
        ["double", "Completed", 1],
        ["double", "Completed", 1],
        ["flaky", "Completed", 2],
        ["inner", "Completed", 1],
    ]
    assert told["children"] == [["Completed", {"total": 6}]]
    messages = [message for _, message in told["logs"]]
    own = ["started", "attempt 1", "attempt 2", "finished"]
    assert [message for message in messages if message in own] == own
    assert [40, "finished"] in told["logs"]

    listed = prefect.command("flow-run", "ls")
    assert "tonight" in listed
    assert "COMPLETED" in listed
    printed = prefect.command("flow-run", "logs", run_id)
    assert printed.index("started") < printed.index("attempt 2") < printed.index("finished")

    prefect.command("flow-run", "delete", run_id)
    query = {"logs": {"flow_run_id": {"any_": [run_id]}}}
    assert prefect.lictor.ask("/logs/filter", query) == (200, b"[]")


def test_events_and_log_lines_are_followed_as_they_happen(prefect: Prefect) -> None:
    events, stored, lines = prefect.program("follow")
    assert events == [
        ["tests.door.opened", "tests"],
        ["prefect.flow-run.Pending", "prefect"],
        ["prefect.flow-run.Running", "prefect"],
        ["prefect.flow-run.Completed", "prefect"],
    ]
    assert stored == ["tests.door.opened"]
    assert lines == ["first", "last"]


def test_inputs_reach_a_flow_run_in_order_and_flows_take_their_runs_along(
    prefect: Prefect,
) -> None:
    assert prefect.program("dialogue") == ["one", "two", ["ada", 3], "v", True, "gone"]
