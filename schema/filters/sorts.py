"""The orders a search may ask for, as request types and as SQL.

Equal keys are told apart by `seq`, the order of insertion: it is the order of the ids the server
makes, and every SQLite index ends with it already, so that a stable page costs nothing. Nulls come
first when ascending.

Source: `prefect.server.schemas.sorting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lictor.schema.filters.flow_runs import STARTED

FlowSort = Literal["NAME_ASC", "NAME_DESC", "CREATED_DESC", "UPDATED_DESC"]
DeploymentSort = Literal["NAME_ASC", "NAME_DESC", "CREATED_DESC", "UPDATED_DESC"]
FlowRunSort = Literal[
    "ID_DESC",
    "START_TIME_ASC",
    "START_TIME_DESC",
    "EXPECTED_START_TIME_ASC",
    "EXPECTED_START_TIME_DESC",
    "NAME_ASC",
    "NAME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC",
    "END_TIME_DESC",
]
TaskRunSort = Literal[
    "ID_DESC",
    "EXPECTED_START_TIME_ASC",
    "EXPECTED_START_TIME_DESC",
    "NAME_ASC",
    "NAME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC",
    "END_TIME_DESC",
    "DURATION_DESC",
    "DURATION_ASC",
]

FLOW_ORDER: Mapping[FlowSort, str] = {
    "NAME_ASC": "f.name, f.seq",
    "NAME_DESC": "f.name DESC, f.seq DESC",
    "CREATED_DESC": "f.created DESC, f.seq DESC",
    "UPDATED_DESC": "f.updated DESC, f.seq DESC",
}

DEPLOYMENT_ORDER: Mapping[DeploymentSort, str] = {
    "NAME_ASC": "d.name, d.seq",
    "NAME_DESC": "d.name DESC, d.seq DESC",
    "CREATED_DESC": "d.created DESC, d.seq DESC",
    "UPDATED_DESC": "d.updated DESC, d.seq DESC",
}

FLOW_RUN_ORDER: Mapping[FlowRunSort, str] = {
    "ID_DESC": "fr.id DESC",
    "START_TIME_ASC": f"{STARTED}, fr.seq",
    "START_TIME_DESC": f"{STARTED} DESC, fr.seq DESC",
    "EXPECTED_START_TIME_ASC": "fr.expected_start_time, fr.seq",
    "EXPECTED_START_TIME_DESC": "fr.expected_start_time DESC, fr.seq DESC",
    "NAME_ASC": "fr.name, fr.seq",
    "NAME_DESC": "fr.name DESC, fr.seq DESC",
    "NEXT_SCHEDULED_START_TIME_ASC": "fr.next_scheduled_start_time, fr.seq",
    "END_TIME_DESC": "fr.end_time DESC, fr.seq DESC",
}

_DURATION = (
    "tr.total_run_time + CASE tr.state_type WHEN 'RUNNING'"
    " THEN (julianday(?) - julianday(tr.state_timestamp)) * 86400.0 ELSE 0.0 END"
)
"""Seconds run so far; the argument is this moment."""

TASK_RUN_ORDER: Mapping[TaskRunSort, str] = {
    "ID_DESC": "tr.id DESC",
    "EXPECTED_START_TIME_ASC": "tr.expected_start_time, tr.seq",
    "EXPECTED_START_TIME_DESC": "tr.expected_start_time DESC, tr.seq DESC",
    "NAME_ASC": "tr.name, tr.seq",
    "NAME_DESC": "tr.name DESC, tr.seq DESC",
    "NEXT_SCHEDULED_START_TIME_ASC": "tr.next_scheduled_start_time, tr.seq",
    "END_TIME_DESC": "tr.end_time DESC, tr.seq DESC",
    "DURATION_DESC": f"{_DURATION} DESC, tr.expected_start_time DESC, tr.id DESC",
    "DURATION_ASC": f"{_DURATION}, tr.expected_start_time DESC, tr.id DESC",
}
