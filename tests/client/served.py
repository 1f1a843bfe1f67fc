"""A server that is killed under a runner, a worker and the flows they run; and what must hold then.

Each is a process of its own; the flows are those of `programs/gated.py`, and the client is the
unmodified Prefect with its own defaults: what it survives, it survives within its own retries.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from lictor_process import Start, clean_environment

PROGRAM = Path(__file__).parent / "programs/gated.py"
LOOK_EVERY_S = 0.2
PAGE = 200
POOL = "gated"
WORKER = "gated-worker"
STEPS = ("before", "across", "after")
NOTES = [
    "flow begins",
    *(f"{step} {what}" for step in STEPS for what in ("begins", "ends")),
    "flow ends",
]
"""What a run of `gated` writes down when everything in it is done once and in order."""


class Scene:
    """See the module's head.

    `patience_s`: how long to wait for what is bound to come; `held`: where lictor listens, kept
    open while it is away as systemd does it; `environment`: that of Prefect's processes.
    """

    def __init__(
        self,
        start: Start,
        python: Path,
        directory: Path,
        *,
        patience_s: float = 120.0,
        held: socket.socket | None = None,
        **environment: str,
    ) -> None:
        self._start = start
        self._python = python
        self._directory = directory
        self._notes = directory / "notes"
        self._notes.mkdir()
        self._patience_s = patience_s
        self._held = held
        self._environment = environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.lictor = start("--log-level", "warning", held=held).until_ready()
        self._port = self.lictor.url.split(":")[2].partition("/")[0]

    # The server

    @contextmanager
    def killed(self, down_s: float) -> Iterator[None]:
        """Kill the server; do the body; start it on the same port after `down_s` seconds."""
        self.lictor.process.kill()
        self.lictor.ended()
        end = time.monotonic() + down_s
        yield
        time.sleep(max(0.0, end - time.monotonic()))
        flags = ("--log-level", "warning", "--port", self._port)
        self.lictor = self._start(*flags, held=self._held).until_ready()

    def ask(self, path: str, body: object = None) -> Any:
        """The answer to one request, which must succeed."""
        status, answer = self.lictor.ask(path, body)
        assert status < 300, (path, status, answer)
        return msgspec.json.decode(answer)

    def every(self, path: str, body: dict[str, Any]) -> list[Any]:
        """All rows of a search, page by page."""
        rows: list[Any] = []
        while True:
            page = self.ask(path, {**body, "limit": PAGE, "offset": len(rows)})
            rows += page
            if len(page) < PAGE:
                return rows

    def until(self, question: Callable[[], Any], what: str) -> Any:
        """Ask until the answer is truthy; that answer."""
        deadline = time.monotonic() + self._patience_s
        while not (answer := question()):
            late = f"not within {self._patience_s} s: {what}"
            assert time.monotonic() < deadline, f"{late}\n{self.said()}"
            time.sleep(LOOK_EVERY_S)
        return answer

    # Prefect's processes

    def serve_and_work(self, limit: int, tick_s: int) -> None:
        """Start a runner for up to `limit` runs at once, and a worker with a pool of its own.

        The runner serves `gated/served` and, every `tick_s` seconds, `tick/ticking`; the worker
        runs `gated/pooled`.
        """
        self._spawn("runner", str(PROGRAM), "serve", str(limit), str(tick_s))
        self._spawn("deploy", str(PROGRAM), "deploy", POOL)
        words = ("worker", "start", "--pool", POOL, "--type", "process", "--name", WORKER)
        self._spawn("worker", "-m", "prefect", *words)
        self.until(lambda: self.deployment("tick/ticking"), "the flows are served")
        self._done("deploy")
        self.until(lambda: self.last_heartbeat(), "the worker is there")

    def create(self, count: int, deployment: str, gate: str) -> list[str]:
        """Make runs that wait at `gate`; their ids."""
        path = f"/deployments/{self.deployment(deployment)['id']}/create_flow_run"
        body = {"parameters": {"gate": gate}, "state": {"type": "SCHEDULED"}}
        return [self.ask(path, body)["id"] for _ in range(count)]

    def begin_to_create(self, count: int, deployment: str, gate: str) -> None:
        """The same by Prefect's client, in a process of its own."""
        self._spawn(gate, str(PROGRAM), "create", str(count), deployment, gate)

    def created(self, gate: str) -> list[str]:
        """The ids of the runs that `begin_to_create` has begun, all made."""
        self._done(gate)
        return self.created_so_far(gate)

    def created_so_far(self, gate: str) -> list[str]:
        return self._output(gate).read_text().split()

    def is_running(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def said(self) -> str:
        """The last words of every process."""
        return "\n".join(
            f"--- {name}: {self._errors(name).read_text()[-2000:]}" for name in self._processes
        )

    def end(self) -> None:
        """Kill what was started, and what that has started."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        for process_id in self._flow_processes():
            os.kill(process_id, signal.SIGKILL)

    def _flow_processes(self) -> list[int]:
        """The processes that run a flow of this scene."""
        mark = f"GATED_DIRECTORY={self._notes}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended, or is another user's
                if mark in place.read_bytes():
                    found.append(int(place.parent.name))
        started = {process.pid for process in self._processes.values()}
        return [each for each in found if each not in started]

    def _spawn(self, name: str, *words: str) -> None:
        environment = clean_environment(
            PREFECT_API_URL=self.lictor.url,
            PREFECT_HOME=str(self._directory / "prefect"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
            NO_COLOR="1",
            GATED_DIRECTORY=str(self._notes),
            # Compiling Prefect anew in each process would cost more than all the rest.
            PYTHONDONTWRITEBYTECODE="",
            PYTHONPYCACHEPREFIX=str(self._directory / "bytecode"),
            **self._environment,
        )
        with self._output(name).open("wb") as out, self._errors(name).open("wb") as errors:
            self._processes[name] = subprocess.Popen(
                [self._python, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                cwd=self._directory,
                env=environment,
            )

    def _done(self, name: str) -> None:
        code = self._processes[name].wait(self._patience_s)
        assert code == 0, self.said()

    def _output(self, name: str) -> Path:
        return self._directory / f"{name}.out"

    def _errors(self, name: str) -> Path:
        return self._directory / f"{name}.err"

    # What the flows do

    def open(self, gate: str) -> None:
        (self._notes / gate).touch()

    def notes(self, run_id: str) -> list[list[str]]:
        """What the run has written down: process id and words."""
        file = self._notes / run_id
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split(" ", 1) for line in lines]

    def until_all_wait(self, run_ids: list[str]) -> None:
        """Until every run is at its gate, and the server has heard of it by events and log lines.

        So the run's process has reached the server by both ways. One that first tries while it is
        refused drops those log lines at once, and its events after seven seconds.
        """
        waits = "across begins"
        self.until(
            lambda: all(waits in [what for _, what in self.notes(each)] for each in run_ids),
            "every run waits at its gate",
        )
        running = {
            "flow_runs": {"id": {"any_": run_ids}},
            "task_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
        }
        self.until(
            lambda: self.ask("/task_runs/count", running) == len(run_ids),
            "every task that waits is RUNNING",
        )
        logged = {"logs": {"flow_run_id": {"any_": run_ids}}}

        def have_logged() -> bool:
            lines = [row["message"] for row in self.every("/logs/filter", logged)]
            return lines.count(f"gated: {waits}") == len(run_ids)

        self.until(have_logged, "every run has logged that it waits")

    def until_all_ended(self, run_ids: list[str]) -> None:
        """Until every run is in a final state and its process is gone: it has said all it will."""
        final = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
        chosen = {"id": {"any_": run_ids}, "state": {"type": {"any_": final}}}
        self.until(
            lambda: self.ask("/flow_runs/count", {"flow_runs": chosen}) == len(run_ids),
            "every run has ended",
        )
        processes = {int(process) for run_id in run_ids for process, _ in self.notes(run_id)}
        self.until(
            lambda: not processes.intersection(self._flow_processes()), "their processes are gone"
        )

    # What the server knows

    def deployment(self, name: str) -> Any:
        """The deployment of this name, or None."""
        status, answer = self.lictor.ask(f"/deployments/name/{name}")
        return msgspec.json.decode(answer) if status == 200 else None

    def last_heartbeat(self) -> str | None:
        status, answer = self.lictor.ask(f"/work_pools/{POOL}/workers/filter", {})
        workers = msgspec.json.decode(answer) if status == 200 else []
        return max((each["last_heartbeat_time"] for each in workers), default=None)

    def runs_of(self, deployment: str, **criteria: Any) -> list[Any]:
        chosen = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        sort = {"sort": "EXPECTED_START_TIME_ASC"}
        return self.every("/flow_runs/filter", {**chosen, **sort, "flow_runs": criteria})
