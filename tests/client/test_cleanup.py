"""Clean-up messages through the whole process, to an unmodified worker of Prefect."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

from lictor_process import PATIENCE_S, Start, clean_environment

PROGRAMS = Path(__file__).parent / "programs"
RUNS = 4
KILLED = -9


def test_a_worker_kills_what_is_left_of_runs_whose_cancellation_timed_out(
    start: Start, prefect_python: Path, tmp_path: Path
) -> None:
    lictor = start(LICTOR_CANCELLING_TIMEOUT_S="0.5").until_ready()
    done = subprocess.run(
        [prefect_python, PROGRAMS / "teardown.py"],
        env=clean_environment(
            PREFECT_API_URL=lictor.url,
            PREFECT_HOME=str(tmp_path / "prefect"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "said": ["ack accepted"] * RUNS,
        "ends": [KILLED] * RUNS,
        "states": ["Cancelled"] * RUNS,
    }
    assert lictor.stop()[0] == 0
    store = sqlite3.connect(lictor.home / "lictor.db")
    rows = store.execute("SELECT status, delivery_count FROM cleanup_message").fetchall()
    store.close()
    assert rows == [("acknowledged", 1)] * RUNS
