"""Flow-run inputs and state histories through the API."""

from __future__ import annotations

from typing import Any

import pytest

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_an_input_is_left_read_and_deleted(api: Any) -> None:
    path = f"/flow_runs/{await api.run()}/input"
    assert await api("POST", path, {"key": "k1", "value": "plain text"}) == (201, None)
    response = await api.raw("GET", f"{path}/k1")
    assert (response.status, response.body) == (200, b"plain text")
    assert response.media_type.startswith(b"text/plain")
    assert (await api("POST", path, {"key": "k1", "value": "again"}))[0] == 409
    assert (await api("DELETE", f"{path}/k1"))[0] == 204
    assert (await api("DELETE", f"{path}/k1"))[0] == 404
    assert (await api("GET", f"{path}/k1"))[0] == 404


async def test_inputs_are_found_by_prefix_oldest_first(api: Any) -> None:
    run = await api.run()
    path = f"/flow_runs/{run}/input"
    for key in ("k-2", "k-1", "other", "k-3"):
        await api("POST", path, {"key": key, "value": key.upper(), "sender": "me"})

    async def keys(**body: Any) -> list[str]:
        status, found = await api("POST", f"{path}/filter", body)
        assert status == 200, found
        return [item["key"] for item in found]

    assert await keys(prefix="k") == ["k-2"]
    assert await keys(prefix="k", limit=2) == ["k-2", "k-1"]
    assert await keys(prefix="k", limit=9, exclude_keys=["k-2"]) == ["k-1", "k-3"]
    assert await keys(prefix="", limit=9) == ["k-2", "k-1", "other", "k-3"]
    assert await keys(prefix="", limit=-1) == ["k-2", "k-1", "other", "k-3"]
    assert await keys(prefix="k_", limit=9) == []
    assert await keys(prefix="%", limit=9) == []
    _, (found,) = await api("POST", f"{path}/filter", {"prefix": "o"})
    expected = {"flow_run_id": run, "key": "other", "value": "OTHER", "sender": "me"}
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["key", "value"]),
        ({"key": "k"}, ["value"]),
        ({"key": 5, "value": "x"}, ["key"]),
        ({"key": "Not allowed", "value": "x"}, ["key"]),
        (None, ["key", "value"]),
        ({"key": None, "value": None}, ["key", "value"]),
    ],
)
async def test_inputs_are_checked(api: Any, body: Any, places: list[str]) -> None:
    status, answer = await api("POST", f"/flow_runs/{await api.run()}/input", body)
    assert status == 422
    assert sorted(error["loc"][1] for error in answer["exception_detail"]) == places


async def test_an_unknown_run_has_no_inputs(api: Any) -> None:
    path = f"/flow_runs/{NOBODY}/input"
    assert (await api("POST", path, {"key": "k", "value": "v"}))[0] == 404
    assert await api("POST", f"{path}/filter", {"prefix": "k"}) == (200, [])
    assert (await api("POST", f"{path}/filter", {}))[0] == 422


STATE = "0197a1f0-0000-7000-8000-0000000000{:02d}"


async def with_states(api: Any) -> str:
    """A flow run with two states, and a task run of the same id with one."""
    run = await api.run()

    def job(tx: Any) -> None:
        tx.run(
            "INSERT INTO artifact (id, created, updated, data) VALUES ('a', '', '', ?)",
            ('{"x": [1, 2.50]}',),
        )
        for number, (type_, details, artifact) in enumerate(
            (("PENDING", "{}", None), ("RUNNING", '{"cache_key":"c","deferred":true}', "a"))
        ):
            tx.run(
                "INSERT INTO flow_run_state (id, flow_run_id, type, name, timestamp, message,"
                " state_details, result_artifact_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    STATE.format(9 - number),
                    run,
                    type_,
                    type_.capitalize(),
                    f"2026-01-01T00:00:0{number}.000000Z",
                    None,
                    details,
                    artifact,
                ),
            )
        tx.run(
            "INSERT INTO task_run (id, created, updated, name, task_key, dynamic_key,"
            " empirical_policy, tags, labels, task_inputs)"
            " VALUES (?, '', '', 't', 'k', 'd', '{}', '[]', '{}', '{}')",
            (run,),
        )
        tx.run(
            "INSERT INTO task_run_state (id, task_run_id, type, name, timestamp, message,"
            " state_details) VALUES (?, ?, 'FAILED', 'Failed', '', 'boom', '{}')",
            (STATE.format(1), run),
        )

    await api.services.journal.write(job)
    return str(run)


async def test_the_states_of_a_run_come_oldest_first_and_complete(api: Any) -> None:
    run = await with_states(api)
    query = f"flow_run_id={run}".encode()
    status, (pending, running) = await api("GET", "/flow_run_states/", query=query)
    assert status == 200
    assert (pending["type"], running["name"]) == ("PENDING", "Running")
    assert pending["data"] is None
    assert running["data"] == {"x": [1, 2.5]}
    assert running["state_details"]["cache_key"] == "c"
    assert running["state_details"]["deferred"] is True
    assert running["state_details"].keys() == pending["state_details"].keys()
    assert pending["state_details"]["pause_reschedule"] is False
    assert await api("GET", f"/flow_run_states/{running['id']}") == (200, running)


async def test_task_runs_have_states_of_their_own(api: Any) -> None:
    run = await with_states(api)
    query = f"task_run_id={run.upper()}".encode()
    status, (failed,) = await api("GET", "/task_run_states/", query=query)
    assert (status, failed["message"]) == (200, "boom")
    assert await api("GET", f"/task_run_states/{failed['id']}") == (200, failed)
    assert (await api("GET", f"/flow_run_states/{failed['id']}"))[0] == 404


@pytest.mark.parametrize("kind", ["flow_run", "task_run"])
async def test_states_of_nobody(api: Any, kind: str) -> None:
    path = f"/{kind}_states/"
    assert await api("GET", path, query=f"{kind}_id={NOBODY}".encode()) == (200, [])
    assert (await api("GET", path))[0] == 422
    assert (await api("GET", path, query=f"{kind}_id=nope".encode()))[0] == 422
    assert (await api("GET", path + NOBODY))[0] == 404
    assert (await api("GET", path + "nope"))[0] == 404


async def test_states_that_runs_have_been_in_are_found_by_prefix(api: Any) -> None:
    await with_states(api)
    path = "/observed-states"

    async def found(query: str = "") -> list[tuple[str, str]]:
        status, answer = await api("GET", path, query=query.encode())
        assert status == 200, answer
        return [(each["state_type"], each["state_name"]) for each in answer]

    assert await found("order_by=NAME_ASC") == [
        ("FAILED", "Failed"),
        ("PENDING", "Pending"),
        ("RUNNING", "Running"),
    ]
    assert await found() == [
        ("RUNNING", "Running"),
        ("PENDING", "Pending"),
        ("FAILED", "Failed"),
    ]
    assert await found("limit=1") == [("RUNNING", "Running")]
    assert await found("query=%20pend") == [("PENDING", "Pending")]
    assert await found("query=%25") == []
    assert await found("query=unning") == []
    for wrong in ("limit=0", "limit=201", "order_by=NAME", f"query={'x' * 101}"):
        assert (await api("GET", path, query=wrong.encode()))[0] == 422


async def test_an_observed_state_knows_its_first_and_last_moment(api: Any) -> None:
    run = await with_states(api)
    for second in (5, 3):
        stamp = f"2026-01-01T00:00:0{second}.000000Z"
        await api.services.journal.write(
            lambda tx, stamp=stamp: tx.run(
                "INSERT INTO task_run_state (id, task_run_id, type, name, timestamp,"
                " state_details) VALUES (?, ?, 'RUNNING', 'Running', ?, '{}')",
                (stamp, run, stamp),
            )
        )
    _, (seen,) = await api("GET", "/observed-states", query=b"query=running")
    assert seen["first_seen"] == "2026-01-01T00:00:01.000000Z"
    assert seen["last_seen"] == "2026-01-01T00:00:05.000000Z"


async def test_proposals_take_null_for_absent(api: Any) -> None:
    """`state` and `force` are parameters of their own, not fields of one body."""
    _, flow = await api("POST", "/flows/", {"name": "forced"})
    _, run = await api("POST", "/flow_runs/", {"flow_id": flow["id"]})
    keys = {"task_key": "t", "dynamic_key": "0", "flow_run_id": None}
    _, task_run = await api("POST", "/task_runs/", keys)
    for path in (f"/flow_runs/{run['id']}", f"/task_runs/{task_run['id']}"):
        proposal = {"state": {"type": "RUNNING"}, "force": None}
        status, verdict = await api("POST", f"{path}/set_state", proposal)
        assert (status, verdict["status"]) == (201, "ACCEPT")
        for body in (None, {}, {"state": None}):
            status, answer = await api("POST", f"{path}/set_state", body)
            assert status == 422
            (error,) = answer["exception_detail"]
            assert (error["loc"], error["input"]) == (["body", "state"], None)
    body = {"state": {"type": "COMPLETED"}, "limit": None, "flow_runs": {"name": {"any_": []}}}
    assert await api("POST", "/flow_runs/bulk_set_state", body) == (200, {"results": []})
