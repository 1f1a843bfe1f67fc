"""The tallies: after any writes, they say what counting would."""

from __future__ import annotations

from typing import Any

import apsw
from conftest import insert
from hypothesis import given, settings
from hypothesis import strategies as st

from lictor.schema.backends.sqlite import SqliteTx

TYPES = st.sampled_from((None, "SCHEDULED", "RUNNING", "COMPLETED"))
NAMES = st.sampled_from((None, "Late", "Running"))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("insert", "update", "rename", "delete", "drop flow")),
        st.integers(0, 5), st.integers(0, 1), TYPES, NAMES,
    ),
    max_size=25,
)  # fmt: skip

FLOW_RUNS = (
    "SELECT flow_id, coalesce(state_type, ''), coalesce(state_name, ''), count(*)"
    " FROM flow_run GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
TASK_RUNS = "SELECT coalesce(state_type, ''), count(*) FROM task_run GROUP BY 1 ORDER BY 1"


def perform(tx: SqliteTx, step: Any) -> None:
    word, n, flow, type_, name = step
    run_id, task_id, flow_id = f"run-{n}", f"task-{n}", f"flow-{flow}"
    if word == "insert":
        if not tx.one("SELECT 1 FROM flow WHERE id = ?", (flow_id,)):
            insert(tx, "flow", {"id": flow_id, "name": flow_id})
        if not tx.one("SELECT 1 FROM flow_run WHERE id = ?", (run_id,)):
            state = {"state_type": type_, "state_name": name}
            insert(tx, "flow_run", {"id": run_id, "name": "r", "flow_id": flow_id, **state})
            if not tx.one("SELECT 1 FROM task_run WHERE id = ?", (task_id,)):
                insert(tx, "task_run", {"id": task_id, "name": "t", "flow_run_id": run_id, **state})
    elif word == "update":
        for table, id_ in (("flow_run", run_id), ("task_run", task_id)):
            tx.run(
                f"UPDATE {table} SET state_type = ?, state_name = ? WHERE id = ?",
                (type_, name, id_),
            )
    elif word == "rename":
        tx.run("UPDATE flow_run SET state_name = ? WHERE id = ?", (name, run_id))
    elif word == "delete":
        tx.run("DELETE FROM flow_run WHERE id = ?", (run_id,))
    else:
        tx.run("DELETE FROM flow WHERE id = ?", (flow_id,))


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_the_tallies_say_what_counting_says(connection: apsw.Connection, steps: Any) -> None:
    connection.execute("BEGIN")
    try:
        tx = SqliteTx(connection)
        for step in steps:
            perform(tx, step)
        assert tx.all("SELECT * FROM flow_run_tally ORDER BY 1, 2, 3") == tx.all(FLOW_RUNS)
        assert tx.all(
            "SELECT * FROM task_run_tally WHERE runs <> 0 ORDER BY state_type"
        ) == tx.all(TASK_RUNS)
    finally:
        connection.execute("ROLLBACK")
