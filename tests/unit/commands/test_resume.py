"""Resuming: what a pause asks for, and what becomes of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from command_world import World

from lictor.schema.commands import resume
from lictor.schema.errors import Missing
from lictor.schema.mint import Mint
from lictor.schema.rules.hydration import no_variables
from lictor.schema.tables import inputs
from lictor.schema.times import shift
from lictor.schema.wire.flow_runs import OrchestrationResult
from lictor.schema.wire.inputs import InputCreate

SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
KEYSET = {"schema": "the-schema", "response": "the-response"}


def resumed(world: World, run_id: str, run_input: Any = None) -> tuple[OrchestrationResult, bool]:
    return resume.resume(world.tx, run_id, run_input, no_variables, world.mint, world.settings)


def paused(world: World, schema: str | None = SCHEMA, **details: Any) -> str:
    run_id = world.run(state={"type": "RUNNING"}).id
    world.set_state(run_id, "PAUSED", state_details=details)
    if schema is not None:
        inputs.insert(world.tx, run_id, InputCreate(key="the-schema", value=schema), world.mint)
    return run_id


def test_a_blocking_pause_is_left_by_running(world: World) -> None:
    run_id = paused(world)
    result, is_new = resumed(world, run_id)
    assert is_new
    assert (result.status, result.details) == ("ACCEPT", {"type": "accept_details"})
    assert result.state is not None
    assert result.state.type == "RUNNING"
    again, is_new = resumed(world, run_id)
    assert (again.status, again.state, is_new) == ("ABORT", None, False)


def test_an_unknown_run_is_missing(world: World) -> None:
    with pytest.raises(Missing):
        resumed(world, Mint().id())


def test_a_pause_that_expired_fails_the_run(world: World) -> None:
    run_id = paused(world, pause_timeout=shift(world.mint.now(), 10))
    world.pass_seconds(11)
    result, is_new = resumed(world, run_id)
    assert is_new
    assert result.status == "REJECT"
    assert result.state is not None
    assert result.state.type == "FAILED"


def test_input_that_fits_is_kept_hydrated_where_the_run_reads_it(world: World) -> None:
    run_id = paused(world, run_input_keyset=KEYSET)
    given = {"n": {"__prefect_kind": "json", "value": "41"}}
    result, _ = resumed(world, run_id, given)
    assert result.status == "ACCEPT"
    assert inputs.read_value(world.tx, run_id, "the-response") == '{"n":41}'


@pytest.mark.parametrize(
    ("schema", "given", "reason"),
    [
        (SCHEMA, {"n": "one"}, "'one' is not of type 'integer'"),
        (SCHEMA, None, "'n' is a required property"),
        (SCHEMA, {"n": {"__prefect_kind": "json", "value": "{"}}, "Invalid JSON"),
        (SCHEMA, {"n": {"__prefect_kind": "none"}}, "Missing 'value'"),
        (None, {"n": 1}, "schema not found"),
        ("{", {"n": 1}, "not valid JSON"),
        ("5", {"n": 1}, "not an object"),
    ],
)
def test_input_that_does_not_fit_leaves_the_run_paused(
    world: World, schema: str | None, given: Any, reason: str
) -> None:
    run_id = paused(world, schema, run_input_keyset=KEYSET)
    result, is_new = resumed(world, run_id, given)
    assert not is_new
    assert result.status == "REJECT"
    assert result.details["type"] == "abort_details"
    assert reason in result.details["reason"]
    assert result.state is not None
    assert result.state.type == "PAUSED"
    assert inputs.read_value(world.tx, run_id, "the-response") is None


def test_input_nobody_asked_for_is_not_kept(world: World) -> None:
    run_id = paused(world)
    result, _ = resumed(world, run_id, {"n": 1})
    assert result.status == "ACCEPT"
    assert world.tx.all("SELECT key FROM flow_run_input") == [("the-schema",)]


def test_only_a_run_paused_for_input_awaits_it(world: World) -> None:
    asking, silent = paused(world, run_input_keyset=KEYSET), paused(world)
    assert resume.awaits_input(world.tx, asking)
    assert not resume.awaits_input(world.tx, silent)
    resumed(world, asking, {"n": 1})
    assert not resume.awaits_input(world.tx, asking)
    assert not resume.awaits_input(world.tx, Mint().id())
