"""The page of states and transitions says what the rules do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lictor.schema.rules import document
from lictor.schema.rules.policies import POLICIES

PAGE = Path(__file__).parents[3] / "docs/state-machine.md"


def test_the_page_is_up_to_date() -> None:
    assert document.markdown() == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_every_rule_of_every_policy_is_on_the_page() -> None:
    page = document.markdown()
    for policy in POLICIES:
        table = page.split(f"### {policy.name}\n")[1].split("\n#")[0]
        names = re.findall(r"^\| \d+ \| (\w+)", table, re.MULTILINE)
        assert names == [rule.name for rule in policy.rules]


@pytest.mark.parametrize(
    ("current", "proposed", "outcome"),
    [
        ("none", "PAUSED", "stop"),
        ("SCHEDULED", "CANCELLING", "-> CANCELLED"),
        ("PENDING", "PENDING", "stop"),
        ("RUNNING", "RUNNING", "yes"),
        ("PAUSED", "PENDING", "no"),
        ("CANCELLING", "CANCELLED", "yes"),
        ("CANCELLING", "CANCELLING", "no"),
        ("COMPLETED", "CRASHED", "stop"),
    ],
)
def test_the_outcomes_are_those_of_the_prefect_server(
    current: str, proposed: str, outcome: str
) -> None:
    """Source: `prefect.server.orchestration.core_policy`, tried against a running server."""
    lines = document.markdown().split("### Flow runs\n")[1].splitlines()
    columns = [cell.strip() for cell in lines[1].split("|")]
    row = next(line for line in lines if line.startswith(f"| **{current}**"))
    assert row.split("|")[columns.index(proposed)].strip() == outcome
