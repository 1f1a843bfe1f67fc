"""Schedules of deployments: made, changed, renamed and replaced."""

from __future__ import annotations

from typing import Any

import pytest
from command_world import World
from deployment_calls import (
    DAILY,
    HOURLY,
    NOBODY,
    changes,
    deploy,
    is_there,
    read,
    reschedule,
    schedule,
    scheduled_run,
    slugs,
    update,
)

from lictor.schema.commands import deployment_schedules
from lictor.schema.errors import Conflict, Invalid, NotFound
from lictor.schema.tables import deployment_schedules as table


def with_slugs(world: World, *names: str) -> str:
    return deploy(world, schedules=[{"schedule": DAILY, "slug": name} for name in names])


def by_slug(world: World, id_: str) -> dict[str, Any]:
    return {each["slug"]: each for each in read(world, id_)["schedules"]}


def test_the_schedule_changed_last_comes_first(world: World) -> None:
    id_ = deploy(world)
    first, second = schedule(world, id_, {"schedule": HOURLY}, {"schedule": DAILY})
    assert [each.id for each in table.read_of(world.tx, id_)] == [second, first]
    reschedule(world, id_, first, active=False)
    assert [each.id for each in table.read_of(world.tx, id_)] == [first, second]


def test_a_change_writes_what_is_not_null_and_always_the_parameters(world: World) -> None:
    id_ = deploy(world)
    body = {"schedule": HOURLY, "parameters": {"a": 1}, "max_scheduled_runs": 5, "slug": "s"}
    (schedule_id,) = schedule(world, id_, body)
    reschedule(world, id_, schedule_id, schedule=DAILY)
    (found,) = read(world, id_)["schedules"]
    assert found["schedule"] == {"cron": "0 0 * * *", "timezone": None, "day_or": True}
    assert (found["parameters"], found["max_scheduled_runs"], found["slug"]) == ({}, 5, "s")


def test_a_slug_is_given_once_in_a_deployment_and_again_in_another(world: World) -> None:
    id_ = with_slugs(world, "one", "two")
    with pytest.raises(Conflict):
        schedule(world, id_, {"schedule": DAILY, "slug": "one"})
    two = by_slug(world, id_)["two"]["id"]
    with pytest.raises(Conflict):
        reschedule(world, id_, two, slug="one")
    reschedule(world, id_, two, slug="two")
    deploy(world, name="other", schedules=[{"schedule": DAILY, "slug": "one"}])


def test_a_schedule_is_only_found_in_its_own_deployment(world: World) -> None:
    id_, other = with_slugs(world, "one"), deploy(world, name="other")
    one = by_slug(world, id_)["one"]["id"]
    for deployment_id in (other, NOBODY):
        with pytest.raises(NotFound):
            reschedule(world, deployment_id, one, active=False)
        with pytest.raises(NotFound):
            deployment_schedules.delete(world.tx, deployment_id, one)
    with pytest.raises(NotFound):
        schedule(world, NOBODY, {"schedule": DAILY})
    with pytest.raises(NotFound):
        deployment_schedules.read_of(world.tx, NOBODY)


def test_every_change_of_schedules_is_told_of(world: World) -> None:
    id_ = deploy(world)
    assert changes(world) == [id_]
    (schedule_id,) = schedule(world, id_, {"schedule": DAILY})
    assert changes(world) == [id_]
    reschedule(world, id_, schedule_id, active=False)
    assert changes(world) == [id_]
    deployment_schedules.delete(world.tx, id_, schedule_id)
    assert changes(world) == [id_]


def test_a_change_deletes_future_runs_and_a_deletion_late_ones_too(world: World) -> None:
    id_ = with_slugs(world, "one")
    one = by_slug(world, id_)["one"]["id"]
    future = scheduled_run(world, id_, "2040-01-01T00:00:00Z")
    late = scheduled_run(world, id_, "2020-01-01T00:00:00Z")
    reschedule(world, id_, one, active=True)
    assert (is_there(world, future), is_there(world, late)) == (False, True)
    deployment_schedules.delete(world.tx, id_, one)
    assert not is_there(world, late)
    assert world.count("flow_run_tag") == 0


# Through a change of the deployment


def test_slugs_say_which_schedules_are_meant_and_the_others_stay(world: World) -> None:
    id_ = with_slugs(world, "one", "two")
    before = by_slug(world, id_)
    update(world, id_, schedules=[{"slug": "one", "active": False}])
    update(world, id_, schedules=[{"slug": "three", "schedule": HOURLY, "max_scheduled_runs": 5}])
    update(world, id_, schedules=[])
    found = by_slug(world, id_)
    assert sorted(found) == ["one", "three", "two"]
    assert found["one"]["id"] == before["one"]["id"]
    assert (found["one"]["active"], found["three"]["active"]) == (False, True)
    assert found["three"]["max_scheduled_runs"] is None
    assert found["two"] == before["two"]


def test_slugs_may_be_swapped(world: World) -> None:
    id_ = with_slugs(world, "one", "two")
    before = by_slug(world, id_)
    update(
        world,
        id_,
        schedules=[{"slug": "two", "replaces": "one"}, {"slug": "one", "replaces": "two"}],
    )
    after = by_slug(world, id_)
    assert after["two"]["id"] == before["one"]["id"]
    assert after["one"]["id"] == before["two"]["id"]


@pytest.mark.parametrize(
    "asked",
    [
        [{"schedule": DAILY}],
        [{"slug": "new"}],
        [{"slug": "new", "replaces": "none"}],
        [{"slug": "two", "replaces": "one"}],
        [{"slug": "x", "replaces": "one"}, {"slug": "y", "replaces": "one"}],
    ],
)
def test_what_slugs_cannot_tell_is_refused(world: World, asked: list[dict[str, Any]]) -> None:
    id_ = with_slugs(world, "one", "two")
    with pytest.raises(Invalid):
        update(world, id_, schedules=asked)
    assert slugs(world, id_) == ["one", "two"]


def test_replacing_an_unknown_slug_makes_a_schedule(world: World) -> None:
    id_ = with_slugs(world, "one")
    update(world, id_, schedules=[{"slug": "new", "replaces": "none", "schedule": DAILY}])
    assert slugs(world, id_) == ["new", "one"]


def test_without_slugs_all_are_replaced_and_those_that_say_nothing_ignored(world: World) -> None:
    id_ = deploy(world, schedules=[{"schedule": DAILY}, {"schedule": HOURLY, "slug": "one"}])
    update(world, id_, description="schedules stay")
    assert slugs(world, id_) == [None, "one"]
    update(world, id_, schedules=[{"schedule": DAILY, "slug": "only"}, {"active": False}])
    assert slugs(world, id_) == ["only"]
    assert by_slug(world, id_)["only"]["active"]


def test_an_empty_list_removes_schedules_without_slugs(world: World) -> None:
    id_ = deploy(world, schedules=[{"schedule": DAILY}])
    update(world, id_, schedules=[])
    assert read(world, id_)["schedules"] == []
