"""The version is written down twice and must be one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from lictor.daemon.version import version

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_program_and_its_distribution_have_one_version() -> None:
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert version() == declared
