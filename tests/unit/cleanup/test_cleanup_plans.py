"""Every look at the clean-up queue is a few steps in an index, however many messages it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cleanup_world import World

from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.tables import cleanup_messages as table
from lictor.schema.tables.cleanup_messages import Message
from lictor.schema.tables.deadlines import Kind


class Explaining(SqliteTx):
    """Notes the plan of every statement it runs."""

    def __init__(self, world: World) -> None:
        super().__init__(world.connection)
        self.steps: list[str] = []

    def all(self, sql: str, args: Any = ()) -> list[Any]:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", args).fetchall()
        self.steps += [str(step[3]) for step in plan]
        return super().all(sql, args)

    def one(self, sql: str, args: Any = ()) -> Any:
        rows = self.all(sql, args)
        return rows[0] if rows else None

    def run(self, sql: str, args: Any = ()) -> int:
        self.all(sql, args)
        return 0

    def on_messages(self) -> list[str]:
        """What is done to the table, without what is done to lists of arguments."""
        return [
            step
            for step in self.steps
            if "cleanup_message" in step
            or "B-TREE" in step
            or step.startswith(("SCAN m", "SEARCH m"))
        ]


@pytest.fixture
def tx(world: World) -> Explaining:
    return Explaining(world)


def assert_searched(tx: Explaining, *indexes: str) -> None:
    steps = tx.on_messages()
    assert steps
    assert all(step.startswith("SEARCH") for step in steps), steps
    for index in indexes:
        assert any(index in step for step in steps), steps


def test_a_message_is_found_by_its_id_and_by_its_key(tx: Explaining) -> None:
    table.read(tx, "x")
    table.read_by_key(tx, "pool", "key")
    assert_searched(tx, "autoindex_cleanup_message_1", "cleanup_message_by_key")


def test_the_oldest_message_is_the_head_of_an_index(tx: Explaining) -> None:
    table.oldest(tx, "pool", '["a"]')
    assert_searched(tx, "cleanup_message_by_kind (work_pool_id=? AND kind=?")
    tx.steps.clear()
    table.oldest(tx, "pool", '["a"]', '["q"]')
    assert_searched(tx, "cleanup_message_by_queue (work_pool_id=? AND work_queue_id=? AND kind=?")


def test_reservations_are_counted_in_an_index_alone(tx: Explaining) -> None:
    table.held(tx, "pool", "2026")
    assert_searched(tx, "COVERING INDEX cleanup_message_by_holder (work_pool_id=?")


def test_leases_are_read_from_both_ends_of_their_index(tx: Explaining) -> None:
    table.overdue(tx, "2026", 10)
    table.shorten(tx, "2026")
    assert_searched(tx, "cleanup_message_by_lease (lease_expires_at<?", "(lease_expires_at>?")
    tx.steps.clear()
    table.leases(tx)
    # A scan of the index that ends at its first entry.
    assert [step.partition(" (")[0] for step in tx.steps] == [
        "SCAN cleanup_message USING COVERING INDEX cleanup_message_by_lease"
    ] * 2


@pytest.mark.parametrize(
    ("kind", "index"),
    [
        (table.UNDELIVERED, "cleanup_message_by_age"),
        (table.ENDED, "cleanup_message_by_end"),
    ],
)
def test_a_deadline_is_the_head_of_its_index(tx: Explaining, kind: Kind, index: str) -> None:
    kind.first_after(tx, None)
    kind.until(tx, "2026", None, 10)
    assert_searched(tx, index)


def test_the_messages_of_a_pool_are_found_when_it_is_deleted(tx: Explaining) -> None:
    tx.all("SELECT 1 FROM cleanup_message WHERE work_pool_id = ?", ("pool",))
    assert_searched(tx, "cleanup_message_by_key (work_pool_id=?")


def test_many_messages_cost_a_look_no_more_than_few(tmp_path: Path) -> None:
    world = World(tmp_path / "many.db")
    world.connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO cleanup_message (id, idempotency_key, work_pool_id, work_queue_id, kind,"
        " target, data, created, status, delivery_count)"
        " SELECT 'id ' || i, 'key ' || i, ?, 'queue ' || (i % 3),"
        " 'pending_claim_teardown.v1', '{}', '{}', '2026', 'waiting', 0 FROM n",
        (world.pool.id,),
    )
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    world.connection.set_progress_handler(count, 100)
    found: list[Message | None] = [
        table.oldest(world.tx, world.pool.id, '["pending_claim_teardown.v1"]'),
        table.oldest(world.tx, world.pool.id, '["pending_claim_teardown.v1"]', '["queue 2"]'),
        table.oldest(world.tx, world.pool.id, '["cancelling_timeout_teardown.v1"]'),
    ]
    world.connection.set_progress_handler(None)
    assert [each.id if each else None for each in found] == ["id 1", "id 2", None]
    assert steps <= 5
    world.close()
