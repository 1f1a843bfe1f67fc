"""What must hold when a server was killed under flows: nothing is lost and nothing is there twice.

Each function returns what is wrong, in sentences; nothing, when all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from served import NOTES, STEPS, Scene

FLOW_STATES = {"Scheduled", "Late", "Pending", "Submitting", "Running", "Completed"}
FLOW_STATES_ALWAYS = {"Scheduled", "Pending", "Running", "Completed"}
TASK_STATES = ["Completed", "Pending", "Running"]
FINISHED = ["Finished in state Completed()"] * (len(STEPS) + 1)


def wrong_with_run(scene: Scene, run_id: str) -> list[str]:
    """A run of `gated`: its body, states, task runs with their states, log lines, and events."""
    found = [
        *_wrong_with_task_runs(scene, run_id),
        *_wrong_with_logs(scene, run_id),
        *_wrong_with_events(scene, run_id),
    ]
    return [*wrong_with_execution(scene, run_id), *(f"run {run_id} {each}" for each in found)]


def wrong_with_execution(scene: Scene, run_id: str) -> list[str]:
    """Its body and its states alone: what it did, and what the server knows of that."""
    run = scene.ask(f"/flow_runs/{run_id}")
    found = [*_wrong_with_body(scene, run_id), *_wrong_with_states(scene, run)]
    return [f"run {run_id} {each}" for each in found]


def _wrong_with_body(scene: Scene, run_id: str) -> Iterator[str]:
    notes = scene.notes(run_id)
    if (done := [what for _, what in notes]) != NOTES:
        yield f"did {done}"
    if len(processes := {process for process, _ in notes}) != 1:
        yield f"ran in the processes {processes}"


def _wrong_with_states(scene: Scene, run: dict[str, Any]) -> Iterator[str]:
    states = [each["name"] for each in scene.ask(f"/flow_run_states/?flow_run_id={run['id']}")]
    twice = [name for name, count in Counter(states).items() if count > 1]
    if run["state_name"] != "Completed" or run["run_count"] != 1 or twice:
        yield f"is {run['state_name']} after {run['run_count']} starts and {states}"
    if set(states) - FLOW_STATES or FLOW_STATES_ALWAYS - set(states):
        yield f"went through {states}"


def _wrong_with_task_runs(scene: Scene, run_id: str) -> Iterator[str]:
    task_runs = scene.every("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    names = sorted(each["name"].rsplit("-", 1)[0] for each in task_runs)
    if names != sorted(STEPS):
        yield f"has the task runs {names}"
    for each in task_runs:
        history = scene.ask(f"/task_run_states/?task_run_id={each['id']}")
        states = sorted(state["name"] for state in history)
        if states != TASK_STATES or each["state_name"] != "Completed" or each["run_count"] != 1:
            yield f"task run {each['name']} is {each['state_name']} after {states}"


def _wrong_with_logs(scene: Scene, run_id: str) -> Iterator[str]:
    rows = scene.every("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
    twice = Counter((row["timestamp"], row["message"]) for row in rows)
    if repeated := [line for line, count in twice.items() if count > 1]:
        yield f"logged twice: {repeated}"
    own = [row["message"] for row in rows]
    missing = Counter([*(f"gated: {note}" for note in NOTES), *FINISHED]) - Counter(own)
    if missing:
        yield f"lost log lines: {sorted(missing.elements())}"


def _wrong_with_events(scene: Scene, run_id: str) -> Iterator[str]:
    resource, event = {"id": [f"prefect.flow-run.{run_id}"]}, {"prefix": ["prefect.flow-run."]}
    body = {"filter": {"resource": resource, "event": event}, "limit": 50}
    page = scene.ask("/events/filter", body)
    names = Counter(each["event"].rsplit(".", 1)[1] for each in page["events"])
    del names["heartbeat"]
    if twice := [name for name, count in names.items() if count > 1]:
        yield f"has two events of {twice}"
    if missing := FLOW_STATES_ALWAYS - set(names):
        yield f"has no event of {missing}"


def wrong_with_runs_of(scene: Scene, deployment: str, created: list[str]) -> list[str]:
    """The runs of a deployment that no schedule has made are `created`, and no others."""
    rows = scene.runs_of(deployment)
    made = Counter(row["id"] for row in rows if not row["auto_scheduled"])
    if made == Counter(created):
        return []
    return [f"{deployment} has runs nobody has made: {made - Counter(created)}"]


def wrong_with_schedule(scene: Scene, deployment: str, every: timedelta) -> list[str]:
    """From the first on, each due time of the schedule has one run."""
    rows = [row for row in scene.runs_of(deployment) if row["auto_scheduled"]]
    due = [datetime.fromisoformat(row["expected_start_time"]) for row in rows]
    wanted = [due[0] + number * every for number in range(len(due))]
    if due == wanted:
        return []
    return [f"{deployment} has runs for {[each.isoformat() for each in due]}"]


def wrong_with_ticks(scene: Scene, until: datetime, spared: Collection[str] = ()) -> list[str]:
    """Each run of `tick` that was due before `until` has been done, once; but for `spared`."""
    found = []
    for row in scene.runs_of("tick/ticking"):
        if row["id"] in spared or datetime.fromisoformat(row["expected_start_time"]) >= until:
            continue
        notes = [what for _, what in scene.notes(row["id"])]
        if row["state_name"] != "Completed" or notes != ["tick"]:
            due = row["expected_start_time"]
            found.append(f"the tick of {due} is {row['state_name']}: {notes}")
    return found
