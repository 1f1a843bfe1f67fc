"""Filters as long as they may be: SQLite takes neither deep expressions nor endless statements."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from conftest import insert

from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.errors import Invalid
from lictor.schema.filters.clauses import ARGUMENTS_MAX, Clause, all_of, any_of
from lictor.schema.filters.criteria import TagsOp, TextsStarting
from lictor.schema.filters.engine import of_filter
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.filters.work_pools import WorkQueueFilter


def run_with(tx: SqliteTx, tags: list[str], **fields: Any) -> None:
    flow_id = str(uuid.uuid4())
    insert(tx, "flow", {"id": flow_id, "name": flow_id})
    row = {"id": str(uuid.uuid4()), "name": "r", "flow_id": flow_id, "tags": tags, **fields}
    insert(tx, "flow_run", row)


def found(tx: SqliteTx, clause: Clause) -> list[str]:
    rows = tx.all(f"SELECT fr.name FROM flow_run fr WHERE {clause.sql} ORDER BY 1", clause.args)
    return [name for (name,) in rows]


@pytest.mark.parametrize("number", [1, 20, 21, 300])
def test_runs_that_have_all_of_many_tags_are_found(tx: SqliteTx, number: int) -> None:
    tags = [f"t{n:05}" for n in range(number)]
    run_with(tx, [*tags, "more"], name="all")
    run_with(tx, [*tags[1:], "more"], name="one missing")
    wanted = FlowRunFilter(tags=TagsOp(all_=[*tags, tags[0]]))
    assert found(tx, of_filter(wanted)) == ["all"]


def test_as_many_tags_may_be_asked_for_as_values(tx: SqliteTx) -> None:
    tags = [f"t{n}" for n in range(ARGUMENTS_MAX)]
    assert found(tx, of_filter(FlowRunFilter(tags=TagsOp(all_=tags)))) == []
    with pytest.raises(Invalid):
        of_filter(FlowRunFilter(tags=TagsOp(all_=[*tags, "more"])))


def test_as_many_beginnings_may_be_asked_for_as_values(tx: SqliteTx) -> None:
    starts = [f"x{n}" for n in range(ARGUMENTS_MAX - 1)]
    where = of_filter(WorkQueueFilter(name=TextsStarting(startswith_=[*starts, "nothing"])))
    assert tx.all(f"SELECT wq.id FROM work_queue wq WHERE {where.sql}", where.args) == []


@pytest.mark.parametrize("combine", [all_of, any_of])
def test_a_long_row_of_clauses_means_what_a_short_one_does(tx: SqliteTx, combine: Any) -> None:
    for others in (500, 5_000):
        clauses = [Clause("fr.name = 'a'")] * others + [Clause("fr.name = 'b'")]
        run_with(tx, [], name="a")
        assert found(tx, combine(clauses))[:1] == ([] if combine is all_of else ["a"])
