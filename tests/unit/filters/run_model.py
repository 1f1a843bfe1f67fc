"""What the filters mean, in plain Python over plain dictionaries: the model the SQL is held to.

Rows are dictionaries with the columns of their tables; filters are request bodies as JSON has them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
Json = dict[str, Any]


def moment(text: str) -> str:
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def like(value: str | None, pattern: str) -> bool:
    if value is None:
        return False
    parts = [{"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern]
    return re.search("".join(parts), value, re.IGNORECASE | re.DOTALL | re.ASCII) is not None


def one(value: Any, null: Any, criteria: Json) -> list[bool]:
    """The criteria on one value, in the form of a list; `null` is what `is_null_` looks at."""
    found = []
    for operator, asked in criteria.items():
        if asked is None or operator == "operator":
            continue
        if operator == "any_":
            found.append(value is not None and value in asked)
        elif operator == "not_any_" and asked:
            found.append(value is not None and value not in asked)
        elif operator == "like_" and asked:
            found.append(like(value, asked))
        elif operator == "is_null_":
            found.append((null is None) == asked)
        elif operator == "before_":
            found.append(value is not None and value <= moment(asked))
        elif operator == "after_":
            found.append(value is not None and value >= moment(asked))
    return found


def tags(value: list[str], criteria: Json) -> list[bool]:
    found = []
    if criteria.get("all_"):
        found.append(set(criteria["all_"]) <= set(value))
    if criteria.get("any_") is not None:
        found.append(bool(set(criteria["any_"]) & set(value)))
    if criteria.get("is_null_") is not None:
        found.append((not value) == criteria["is_null_"])
    return found


def combine(found: list[bool], criteria: Json) -> bool:
    if not found:
        return True
    return any(found) if criteria.get("operator") == "or_" else all(found)


def state(run: Row, criteria: Json) -> bool:
    parts = []
    for key in ("type", "name"):
        found = one(run[f"state_{key}"], None, criteria.get(key) or {})
        if found:
            parts.append(all(found))
    return combine(parts, criteria)


class Model:
    """Every row there is, and which of them a request means."""

    def __init__(self, flows: list[Row], flow_runs: list[Row], task_runs: list[Row]) -> None:
        self.flows, self.flow_runs, self.task_runs = flows, flow_runs, task_runs

    def flow(self, row: Row, asked: Json | None) -> bool:
        return self._matches(row, asked, {
            "id": lambda c: combine(one(row["id"], None, c), c),
            "name": lambda c: combine(one(row["name"], None, c), c),
            "tags": lambda c: combine(tags(row["tags"], c), c),
            "deployment": lambda c: c.get("is_null_") is not False,
        })  # fmt: skip

    def flow_run(self, row: Row, asked: Json | None) -> bool:
        def value(key: str) -> Any:
            return lambda c: combine(one(row[key], row[key], c), c)

        started = row["start_time"] or row["expected_start_time"]
        return self._matches(row, asked, {
            **{key: value(key) for key in (
                "id", "name", "deployment_id", "work_queue_name", "flow_version", "end_time",
                "expected_start_time", "next_scheduled_start_time", "parent_task_run_id",
                "idempotency_key",
            )},
            "tags": lambda c: combine(tags(row["tags"], c), c),
            "state": lambda c: state(row, c),
            "start_time": lambda c: combine(one(started, row["start_time"], c), c),
            "parent_flow_run_id": lambda c: self._has_parent(row, c),
            "created_by": lambda c: self._creator(row["created_by"], c),
        })  # fmt: skip

    def task_run(self, row: Row, asked: Json | None) -> bool:
        def value(key: str) -> Any:
            return lambda c: combine(one(row[key], row[key], c), c)

        return self._matches(row, asked, {
            **{key: value(key) for key in (
                "id", "name", "start_time", "end_time", "expected_start_time"
            )},
            "tags": lambda c: combine(tags(row["tags"], c), c),
            "state": lambda c: state(row, c),
            "subflow_runs": lambda c: c.get("exists_") in (None, self._stands_for_flow(row)),
            "flow_run_id": lambda c: self._flow_run_of_task(row["flow_run_id"], c),
        })  # fmt: skip

    @staticmethod
    def _matches(row: Row, asked: Json | None, keys: Json) -> bool:
        if asked is None:
            return True
        found = [
            keys[key](criteria)
            for key, criteria in asked.items()
            if key != "operator" and criteria is not None
        ]
        return combine(found, asked)

    def _has_parent(self, row: Row, criteria: Json) -> bool:
        if criteria.get("any_") is None:
            return True
        return any(
            task["id"] == row["parent_task_run_id"] and task["flow_run_id"] in criteria["any_"]
            for task in self.task_runs
        )

    @staticmethod
    def _creator(creator: Json | None, criteria: Json) -> bool:
        found = []
        for key in ("id", "type"):
            if criteria.get(f"{key}_") is not None:
                found.append(creator is not None and creator.get(key) in criteria[f"{key}_"])
        if criteria.get("is_null_") is not None:
            found.append((creator is None) == criteria["is_null_"])
        return combine(found, criteria)

    @staticmethod
    def _flow_run_of_task(flow_run_id: str | None, criteria: Json) -> bool:
        is_null = criteria.get("is_null_", False)
        if is_null:
            return flow_run_id is None
        if criteria.get("any_") is not None:
            return flow_run_id in criteria["any_"]
        return is_null is None or flow_run_id is not None

    def _stands_for_flow(self, task: Row) -> bool:
        return any(run["parent_task_run_id"] == task["id"] for run in self.flow_runs)

    def flows_that_match(self, body: Json) -> list[Row]:
        asks_runs = body.get("flow_runs") is not None or body.get("task_runs") is not None
        return [
            flow for flow in self.flows
            if self.flow(flow, body.get("flows"))
            and body.get("deployments") is None
            and (not asks_runs or any(
                run["flow_id"] == flow["id"]
                and self.flow_run(run, body.get("flow_runs"))
                and self._has_task_run(run, body.get("task_runs"))
                for run in self.flow_runs
            ))
        ]  # fmt: skip

    def flow_runs_that_match(self, body: Json) -> list[Row]:
        flows = {flow["id"]: flow for flow in self.flows}
        return [
            run for run in self.flow_runs
            if self.flow_run(run, body.get("flow_runs"))
            and self.flow(flows[run["flow_id"]], body.get("flows"))
            and body.get("deployments") is None
            and self._has_task_run(run, body.get("task_runs"))
        ]  # fmt: skip

    def task_runs_that_match(self, body: Json) -> list[Row]:
        others = {key: body.get(key) for key in ("flows", "flow_runs", "deployments")}
        runs = {run["id"] for run in self.flow_runs_that_match(others)}
        asks = any(value is not None for value in others.values())
        return [
            task for task in self.task_runs
            if self.task_run(task, body.get("task_runs"))
            and (not asks or task["flow_run_id"] in runs)
        ]  # fmt: skip

    def _has_task_run(self, run: Row, asked: Json | None) -> bool:
        return asked is None or any(
            task["flow_run_id"] == run["id"] and self.task_run(task, asked)
            for task in self.task_runs
        )
