"""Slots under any sequence of commands, against a model in plain Python.

The model knows leases as objects and counts nothing: what is in use is what they hold. It holds the
tables to: never more in use than there are slots, no slot given back twice, none lost.
"""

from __future__ import annotations

import random
from typing import Any

import apsw
import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lictor.schema.backends import sqlite
from lictor.schema.commands import limits, slots
from lictor.schema.commands.slots import Wanted
from lictor.schema.errors import Invalid
from lictor.schema.mint import Mint
from lictor.schema.tables import leases
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.times import epoch_s
from lictor.schema.wire.concurrency_limits import LimitCreate, LimitUpdate

NAMES = ("a", "b", "tag:c")
names = st.lists(st.sampled_from((*NAMES, "unknown")), min_size=1, max_size=4)
numbers = st.integers(1, 3)
holders = st.sampled_from((None, Holder("task_run", "t1"), Holder("task_run", "t2")))
durations = st.sampled_from((None, 60.0, 300.0))


class ModelLimit:
    def __init__(self, most: int) -> None:
        self.most, self.active, self.loose = most, True, 0


class ModelLease:
    def __init__(self, shares: dict[str, int], holder: Any, expires_s: float | None) -> None:
        self.shares, self.holder, self.expires_s = shares, holder, expires_s


class Slots(RuleBasedStateMachine):
    """Three limits without decay, their leases, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = apsw.Connection(":memory:")
        sqlite.migrate(self.connection)
        self.connection.pragma("foreign_keys", True)
        self.connection.execute("BEGIN")
        self.tx = sqlite.SqliteTx(self.connection)
        self.now_s = 1_800_000_000
        self.mint = Mint(lambda: self.now_s * 1_000_000_000, random.Random(1))
        self.limits: dict[str, ModelLimit] = {}
        self.leases: dict[str, ModelLease] = {}
        self.ended: list[str] = ["00000000-0000-4000-8000-000000000000"]

    def teardown(self) -> None:
        self.connection.close()

    @initialize()
    def make(self) -> None:
        for name, most in zip(NAMES, (1, 3, 2), strict=True):
            limits.create(self.tx, LimitCreate(name=name, limit=most), self.mint)
            self.limits[name] = ModelLimit(most)

    def at(self) -> float:
        return epoch_s(self.mint.now())

    def in_use(self, name: str) -> int:
        leased = sum(lease.shares.get(name, 0) for lease in self.leases.values())
        return self.limits[name].loose + leased

    def verdict(self, wanted: list[str], number: int) -> tuple[str, list[str]]:
        """What should come of a request, and the limits it concerns."""
        found = [name for name in sorted(set(wanted)) if name in self.limits]
        active = [name for name in found if self.limits[name].active]
        if any(self.limits[name].most < number for name in active):
            return "invalid", found
        if any(self.in_use(name) + number > self.limits[name].most for name in active):
            return "full", found
        return "taken", found

    @rule(wanted=names, number=numbers, holder=holders, duration_s=durations)
    def acquire(self, wanted: list[str], number: int, holder: Any, duration_s: Any) -> None:
        expected, found = self.verdict(wanted, number)
        request = Wanted(wanted, number, "concurrency", holder, duration_s)
        try:
            taken = slots.acquire(self.tx, request, self.mint)
        except Invalid:
            assert expected == "invalid"
            return
        assert expected == ("full" if taken is None else "taken")
        if taken is None:
            return
        assert [limit.name for limit in taken.limits] == found
        assert taken.lease_id is not None
        shares = {name: number if self.limits[name].active else 0 for name in found}
        expires_s = None if duration_s is None else self.now_s + duration_s
        self.leases[taken.lease_id] = ModelLease(shares, holder, expires_s)

    @rule(wanted=names, number=numbers)
    def take(self, wanted: list[str], number: int) -> None:
        expected, found = self.verdict(wanted, number)
        try:
            taken = slots.take(self.tx, Wanted(wanted, number), self.mint)
        except Invalid:
            assert expected == "invalid"
            return
        assert expected == ("full" if taken is None else "taken")
        for name in found if taken is not None else ():
            self.limits[name].loose += number if self.limits[name].active else 0

    @rule(wanted=names, number=numbers, occupancy_s=st.sampled_from((None, 0.01, 50.0)))
    def give(self, wanted: list[str], number: int, occupancy_s: Any) -> None:
        slots.give(self.tx, wanted, number, occupancy_s, self.mint)
        for name in set(wanted) & set(self.limits):
            if self.limits[name].active:
                self.limits[name].loose = max(0, self.limits[name].loose - number)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease_id = data.draw(st.sampled_from([*self.leases, *self.ended]))
        is_live = lease_id in self.leases
        assert slots.release(self.tx, lease_id, self.at()) == is_live
        if is_live:
            self.end(lease_id)

    def end(self, lease_id: str) -> None:
        del self.leases[lease_id]
        self.ended.append(lease_id)

    @rule(data=st.data(), duration_s=durations)
    def renew(self, data: st.DataObject, duration_s: Any) -> None:
        lease_id = data.draw(st.sampled_from([*self.leases, *self.ended]))
        is_live = lease_id in self.leases
        assert leases.renew(self.tx, lease_id, duration_s, self.at()) == is_live
        if is_live:
            expires_s = None if duration_s is None else self.now_s + duration_s
            self.leases[lease_id].expires_s = expires_s

    @rule(seconds=st.integers(1, 400))
    def pass_time_and_reap(self, seconds: int) -> None:
        self.now_s += seconds
        over = [
            id_
            for id_, lease in self.leases.items()
            if lease.expires_s is not None and lease.expires_s <= self.now_s
        ]
        assert slots.release_expired(self.tx, self.at()) == len(over)
        for lease_id in over:
            self.end(lease_id)

    @rule(holder_id=st.sampled_from(("t1", "t2")), wanted=names)
    def give_tags(self, holder_id: str, wanted: list[str]) -> None:
        slots.give_tags(self.tx, holder_id, wanted, self.mint)
        over = [
            id_
            for id_, lease in self.leases.items()
            if lease.holder and lease.holder.id == holder_id and lease.shares.keys() & set(wanted)
        ]
        for lease_id in over:
            self.end(lease_id)

    @rule(name=st.sampled_from(NAMES), most=st.integers(0, 4), active=st.booleans())
    def change(self, name: str, most: int, active: bool) -> None:
        body = LimitUpdate(limit=most, active=active)
        assert limits.update(self.tx, None, name, body, self.mint) == (name in self.limits)
        if name in self.limits:
            self.limits[name].most, self.limits[name].active = most, active

    @rule(name=st.sampled_from(NAMES), in_use=st.integers(0, 4))
    def set_by_hand(self, name: str, in_use: int) -> None:
        limits.update(self.tx, None, name, LimitUpdate(active_slots=in_use), self.mint)
        if name in self.limits:
            leased = self.in_use(name) - self.limits[name].loose
            self.limits[name].loose = max(0, in_use - leased)

    @rule(tasks=st.lists(st.sampled_from(("t1", "t2")), max_size=3))
    def reset(self, tasks: list[str]) -> None:
        assert limits.reset_tag(self.tx, "c", tasks, self.mint) == ("tag:c" in self.limits)
        if "tag:c" in self.limits:
            self.end_on("tag:c")
            self.limits["tag:c"].loose = 0
            known = {*self.leases, *self.ended}
            new = [id_ for (id_,) in self.tx.all("SELECT id FROM lease") if id_ not in known]
            assert len(new) == len(tasks)
            number = int(self.limits["tag:c"].active)
            rows = self.tx.all("SELECT id, holder_id FROM lease ORDER BY seq")
            for id_, holder_id in [row for row in rows if row[0] in new]:
                holder = Holder("task_run", holder_id)
                self.leases[id_] = ModelLease({"tag:c": number}, holder, None)

    def end_on(self, name: str) -> None:
        for lease_id in [id_ for id_, lease in self.leases.items() if name in lease.shares]:
            self.end(lease_id)

    @precondition(lambda self: len(self.limits) > 1)
    @rule(name=st.sampled_from(NAMES), with_leases=st.booleans())
    def delete(self, name: str, with_leases: bool) -> None:
        command = limits.delete_with_leases if with_leases else limits.delete
        assert command(self.tx, None, name, self.mint) == (name in self.limits)
        if self.limits.pop(name, None) is not None:
            if with_leases:
                self.end_on(name)
            for lease in self.leases.values():
                lease.shares.pop(name, None)

    @invariant()
    def the_tables_are_what_the_model_is(self) -> None:
        for name, model in self.limits.items():
            limit = table.read_by_name(self.tx, name)
            assert limit is not None
            assert (limit.limit, limit.active) == (model.most, model.active)
            assert limit.occupied(self.at()) == self.in_use(name)
            held_by = [
                lease.holder.id
                for lease in self.leases.values()
                if name in lease.shares and lease.holder is not None
            ]
            assert sorted(leases.task_runs_on(self.tx, limit.seq)) == sorted(held_by)
        stored = {id_ for (id_,) in self.tx.all("SELECT id FROM lease")}
        assert stored == set(self.leases)
        live = [each.expires_s for each in self.leases.values() if each.expires_s is not None]
        assert leases.next_expiry(self.tx) == min(live, default=None)
        orphans = self.tx.one(
            "SELECT count(*) FROM leased_slots WHERE lease_seq NOT IN (SELECT seq FROM lease)"
        )
        assert orphans == (0,)


Slots.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlots = Slots.TestCase


def test_the_names_of_a_page_are_those_of_tags_alone() -> None:
    connection = apsw.Connection(":memory:")
    sqlite.migrate(connection)
    tx, mint = sqlite.SqliteTx(connection), Mint()
    for name in ("tag", "tag:", "tag:a", "tag:é", "tag:~", "tag;", "tags:a", "a"):
        body = msgspec.convert({"name": name, "limit": 1}, LimitCreate)
        limits.create(tx, body, mint)
    page = [limit.name for limit in table.read_tag_page(tx, 10, 0)]
    assert page == ["tag:", "tag:a", "tag:~", "tag:é"]
    assert [limit.name for limit in table.read_tag_page(tx, 1, 2)] == ["tag:~"]
    assert len(table.read_page(tx, 10, 0)) == 8
    connection.close()
