"""The requests of both versions of the API for concurrency limits."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from slot_world import V2, World, holder

V1 = "/concurrency_limits"
NOBODY = "00000000-0000-4000-8000-000000000000"


def task(n: int) -> str:
    return holder(n)["holder"]["id"]


async def increment(world: World, names: list[str], slots: int = 1, **body: Any) -> Any:
    return await world("POST", f"{V2}/increment", {"names": names, "slots": slots, **body})


async def decrement(world: World, names: list[str], slots: int = 1, **body: Any) -> Any:
    return await world("POST", f"{V2}/decrement", {"names": names, "slots": slots, **body})


# The second version


async def test_limits_are_answered_by_name_whatever_the_order_of_the_request(world: World) -> None:
    for name in ("c", "a", "b"):
        await world.limit(name, 9)
    for ask in (increment, decrement):
        _, limits = await ask(world, ["b", "c", "a", "c"])
        assert [limit["name"] for limit in limits] == ["a", "b", "c"]


@pytest.mark.parametrize("ask", [increment, decrement])
async def test_what_is_without_effect_must_be_of_its_type_still(world: World, ask: Any) -> None:
    await world.limit(most=3)
    assert (await ask(world, ["db"], create_if_missing=True))[0] == 200
    status, refusal = await ask(world, ["db"], create_if_missing="perhaps")
    assert status == 422
    assert refusal["exception_detail"][0]["loc"] == ["body", "create_if_missing"]


async def test_what_was_taken_without_a_lease_is_given_back_by_name(world: World) -> None:
    await world.limit(most=3)
    _, taken = await increment(world, ["db", "unknown", "db"], 2)
    assert [limit["name"] for limit in taken] == ["db"]
    assert await world.in_use() == 2
    await decrement(world, ["db"], 5)
    assert await world.in_use() == 0


async def test_giving_back_by_name_takes_no_lease_from_its_holder(world: World) -> None:
    await world.limit(most=3)
    await world.lease(slots=2)
    await increment(world, ["db"])
    await decrement(world, ["db"], 3)
    assert await world.in_use() == 2


async def test_a_lease_released_twice_gives_back_once(world: World) -> None:
    await world.limit(most=2)
    first, _second = await world.lease(), await world.lease()
    for _ in range(3):
        await world.release(first)
    assert await world.in_use() == 1
    assert await world.renew(first) == 410


async def test_all_limits_are_taken_or_none(world: World) -> None:
    await world.limit("narrow", 1)
    await world.limit("wide", 5)
    await world.lease("narrow")
    body = {"names": ["wide", "narrow"], "slots": 1}
    assert (await world("POST", f"{V2}/increment-with-lease", body))[0] == 423
    assert (await world("POST", f"{V2}/increment", body))[0] == 423
    assert await world.in_use("wide") == 0


async def test_an_inactive_limit_is_in_the_answer_and_holds_nobody(world: World) -> None:
    await world.limit("off", 1, active=False)
    for _ in range(2):
        lease = await world.lease("off", slots=3)
    assert await world.in_use("off") == 0
    await world.release(lease)
    assert await world.in_use("off") == 0


async def test_slots_of_a_limit_that_is_switched_off_can_be_given_back(world: World) -> None:
    await world.limit()
    lease = await world.lease()
    assert (await world("PATCH", f"{V2}/db", {"active": False}))[0] == 204
    await world.release(lease)
    assert await world.in_use() == 0


async def test_a_rate_limit_grants_at_its_rate_however_often_it_is_asked(
    world: World, autojump_clock: Any
) -> None:
    await world.limit("rate", 2, slot_decay_per_second=0.5)
    granted = 0
    for _ in range(200):
        granted += (await increment(world, ["rate"], mode="rate_limit"))[0] == 200
        await trio.sleep(0.1)
    assert granted in (11, 12), "two, and then one each two seconds for twenty seconds"


async def test_the_wait_for_a_rate_limit_is_exact(world: World, autojump_clock: Any) -> None:
    await world.limit("rate", 2, slot_decay_per_second=0.01)
    await increment(world, ["rate"], 2, mode="rate_limit")
    wait_s = await world.refused_s("rate", mode="rate_limit")
    assert wait_s == pytest.approx(100, abs=0.1)
    await trio.sleep(wait_s)
    assert (await increment(world, ["rate"], mode="rate_limit"))[0] == 200


async def test_no_wait_is_longer_than_the_settings_say(
    tmp_path: Any, autojump_clock: Any
) -> None:
    bounds = {"slot_wait_max_s": 0.5, "tag_slot_wait_max_s": 0.25}
    async with World(tmp_path, **bounds).running() as world:
        for name, bound_s in (("db", 0.5), ("tag:a", 0.25)):
            await world.limit(name)
            await world.lease(name, lease_duration=3600)
            assert await world.refused_s(name) == bound_s


async def test_changing_the_decay_keeps_what_is_in_use(world: World, autojump_clock: Any) -> None:
    await world.limit(most=9, active_slots=4, slot_decay_per_second=1)
    await trio.sleep(1.5)
    await world("PATCH", f"{V2}/db", {"slot_decay_per_second": 0})
    assert await world.in_use() == 2
    await trio.sleep(10)
    assert await world.in_use() == 2
    await world.lease()
    await world("PATCH", f"{V2}/db", {"slot_decay_per_second": 1})
    assert await world.in_use() == 3
    await trio.sleep(1.5)
    assert await world.in_use() == 2


async def test_slots_set_by_hand_count_beside_those_of_leases(world: World) -> None:
    await world.limit(most=9)
    lease = await world.lease(slots=2)
    for by_hand, shown in ((5, 5), (2, 2), (0, 2)):
        assert (await world("PATCH", f"{V2}/db", {"active_slots": by_hand}))[0] == 204
        assert await world.in_use() == shown
    await world.release(lease)
    assert await world.in_use() == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [({"name": "other"}, 409), ({"limit": None}, 409), ({"name": "db"}, 204), ({}, 204)],
)
async def test_what_a_change_may_not_be(world: World, body: dict[str, Any], status: int) -> None:
    await world.limit("other")
    await world.limit()
    assert (await world("PATCH", f"{V2}/db", body))[0] == status
    _, found = await world("GET", f"{V2}/db")
    assert (found["name"], found["limit"]) == ("db", 1)


async def test_a_lease_outlives_its_limit(world: World) -> None:
    await world.limit()
    lease = await world.lease()
    assert (await world("DELETE", f"{V2}/db"))[0] == 204
    assert await world.renew(lease) == 204
    await world.limit()
    assert await world.in_use() == 0
    await world.release(lease)
    assert await world.renew(lease) == 410


async def test_changes_of_limits_are_told_and_slots_are_not(world: World) -> None:
    id_ = await world.limit()
    await world.release(await world.lease())
    assert world.events() == ["prefect.concurrency-limit.created"]
    await world("PATCH", f"{V2}/{id_}", {"limit": 2})
    await world("DELETE", f"{V2}/{id_}")
    await world("DELETE", f"{V2}/{id_}")
    told = ["created", "updated", "deleted"]
    assert world.events() == [f"prefect.concurrency-limit.{action}" for action in told]


async def test_each_request_that_changes_a_limit_is_told_whether_it_differs_or_not(
    world: World,
) -> None:
    _, before = await world("GET", f"{V2}/{await world.limit()}")
    await world("PATCH", f"{V2}/db", {})
    await world("PATCH", f"{V2}/urn:uuid:{before['id']}", {"denied_slots": 1})
    _, after = await world("GET", f"{V2}/{{{before['id'].upper()}}}")
    assert after["updated"] > before["updated"]
    assert world.events()[1:] == ["prefect.concurrency-limit.updated"] * 2


async def test_very_many_names_are_refused(world: World) -> None:
    status, answer = await increment(world, [f"n{n}" for n in range(1001)])
    assert status == 422
    assert answer["exception_detail"][0]["loc"] == ["body", "names"]


# The first version


async def tag(world: World, name: str, most: int) -> dict[str, Any]:
    _, made = await world("POST", f"{V1}/", {"tag": name, "concurrency_limit": most})
    return made


async def active(world: World, name: str) -> list[str]:
    _, found = await world("GET", f"{V1}/tag/{name}")
    return found["active_slots"]


async def test_a_tag_is_a_limit_of_the_second_version(world: World) -> None:
    made = await tag(world, "a", 2)
    await world.limit("plain")
    lease = await world.lease("tag:a", **holder(1))
    await world.lease("tag:a")
    assert await active(world, "a") == [task(1)], "a holder that has no name is not listed"
    await world.release(lease)
    assert await active(world, "a") == []
    assert (await world("GET", f"{V1}/{made['id']}"))[0] == 200
    _, plain = await world("GET", f"{V2}/plain")
    assert (await world("GET", f"{V1}/{plain['id']}"))[0] == 404


async def test_tags_are_found_behind_any_number_of_other_limits(world: World) -> None:
    """Upstream reads a page of all limits and then looks for tags in it."""
    for n in range(5):
        await world.limit(f"a{n}")
    for name in "yxz":
        await tag(world, name, 1)
    _, page = await world("POST", f"{V1}/filter", {"limit": 2, "offset": 1})
    assert [limit["tag"] for limit in page] == ["y", "z"]


async def test_setting_a_tag_again_changes_its_limit(world: World) -> None:
    await tag(world, "a", 1)
    status, again = await world("POST", f"{V1}/", {"tag": "a", "concurrency_limit": 3})
    assert (status, again["concurrency_limit"]) == (200, 3)
    await tag(world, "a", 3)
    told = ["created", "updated", "updated"]
    assert world.events() == [f"prefect.concurrency-limit.{action}" for action in told]


async def test_a_reset_leaves_the_slots_it_names_and_no_other(world: World) -> None:
    """Upstream the counter is not reset."""
    await tag(world, "a", 2)
    await world.limit("other")
    await increment(world, ["tag:a"])
    both = {"names": ["tag:a", "other"], "slots": 1}
    _, lease = await world("POST", f"{V2}/increment-with-lease", both)
    assert await world.in_use("tag:a") == 2
    body = {"slot_override": [task(1), task(2), task(3)]}
    assert await world("POST", f"{V1}/tag/a/reset", body) == (200, None)
    assert await active(world, "a") == [task(1), task(2), task(3)]
    assert await world.in_use("tag:a") == 3, "above the limit, as it was told"
    assert await world.in_use("other") == 0, "a lease ends wholly"
    assert await world.renew(lease["lease_id"]) == 410
    await world("POST", f"{V1}/tag/a/reset")
    assert await world.in_use("tag:a") == 0


@pytest.mark.parametrize("by", ["id", "tag"])
async def test_deleting_a_tag_ends_the_leases_on_it(world: World, by: str) -> None:
    made = await tag(world, "a", 1)
    lease = await world.lease("tag:a")
    path = f"{V1}/{made['id']}" if by == "id" else f"{V1}/tag/a"
    assert await world("DELETE", path) == (200, None)
    assert (await world("DELETE", path))[0] == 404
    assert await world.renew(lease) == 410


async def test_a_task_run_takes_and_gives_its_tags_at_once(world: World) -> None:
    await tag(world, "a", 1)
    await tag(world, "b", 2)
    body = {"names": ["b", "a", "free"], "task_run_id": task(1)}
    status, taken = await world("POST", f"{V1}/increment", body)
    assert (status, [limit["name"] for limit in taken]) == (200, ["b", "a"])
    refused = await world.raw("POST", f"{V1}/increment", {**body, "task_run_id": task(2)})
    assert refused.status == 423
    assert b"b tag has been reached" in refused.body
    assert 0 < float(dict(refused.headers)[b"retry-after"]) <= 10
    only_a = {"names": ["a"], "task_run_id": task(1)}
    status, given = await world("POST", f"{V1}/decrement", only_a)
    assert (status, [limit["name"] for limit in given]) == (200, ["tag:a"])
    assert await world.in_use("tag:b") == 0, "the lease over both ends wholly"


async def test_a_tag_with_no_slots_at_all_tells_the_client_to_give_up(world: World) -> None:
    await tag(world, "a", 0)
    answer = await world.raw("POST", f"{V1}/increment", {"names": ["a"], "task_run_id": NOBODY})
    assert answer.status == 423
    assert b"retry-after" not in dict(answer.headers)


async def test_a_tag_that_is_switched_off_is_not_held(world: World) -> None:
    _, limit = await world("POST", f"{V1}/", {"tag": "gpu", "concurrency_limit": 2})
    await world("PATCH", f"{V2}/{limit['id']}", {"active": False})
    body = {"names": ["gpu"], "task_run_id": task(1)}
    assert await world("POST", f"{V1}/increment", body) == (200, [])
    assert (await world("GET", f"{V1}/tag/gpu"))[1]["active_slots"] == []


async def test_tags_are_answered_in_the_order_of_the_request(world: World) -> None:
    for tag in ("a", "b", ""):
        assert (await world("POST", f"{V1}/", {"tag": tag, "concurrency_limit": 2}))[0] == 201
    body = {"names": ["b", "unknown", "a"], "task_run_id": task(1)}
    _, taken = await world("POST", f"{V1}/increment", body)
    assert [limit["name"] for limit in taken] == ["b", "a"]
