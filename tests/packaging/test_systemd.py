"""The unit says what it means: systemd finds nothing to object to, and it is well fenced."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lictor.config.settings import Settings
from lictor.daemon.exits import Exit
from lictor.daemon.listen import BACKLOG

UNIT = Path(__file__).parents[2] / "systemd/lictor.service"
SOCKET = UNIT.with_suffix(".socket")
EXPOSURE_MAX = 15
"""Tenths of systemd's exposure level: 1.5 of 10."""


@pytest.fixture(scope="module")
def analyze() -> str | None:
    """The path of systemd-analyze; None on a machine without systemd, never in the pipeline."""
    found = shutil.which("systemd-analyze")
    assert found or not os.environ.get("CI"), "install systemd: apt-get install systemd"
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists on this machine, which `verify` insists on."""
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/usr/bin/lictor", f"{sys.executable} -m lictor.daemon"))
    (tmp_path / SOCKET.name).write_text(SOCKET.read_text(encoding="utf-8"))
    return copy


def section(unit: Path, name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser[name]


def service() -> configparser.SectionProxy:
    return section(UNIT, "Service")


def test_systemd_finds_nothing_to_object_to(analyze: str | None, unit: Path) -> None:
    if analyze is not None:
        units = [str(unit), str(unit.with_suffix(".socket"))]
        ended = subprocess.run(
            [analyze, "verify", *units], capture_output=True, text=True, check=False
        )
        # Unknown keys only warn: silence is the proof.
        assert (ended.returncode, ended.stderr) == (0, "")


def test_the_service_is_well_fenced(analyze: str | None, unit: Path) -> None:
    if analyze is not None:
        ended = subprocess.run(
            [analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-500:]


def test_what_trying_again_cannot_mend_is_not_tried_again() -> None:
    given_up = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert given_up == {Exit.USAGE, Exit.DATABASE, Exit.HOME, Exit.CONFIGURATION}
    assert service()["Restart"] == "on-failure"


def test_the_stop_is_longer_than_the_drain() -> None:
    assert int(service()["TimeoutStopSec"]) > 2 * Settings().drain_s


def test_the_unit_needs_no_flags_because_systemd_names_the_home() -> None:
    assert service()["ExecStart"] == "/usr/bin/lictor serve"
    assert service()["StateDirectory"] == "lictor"
    assert re.search(r"NotifyAccess=main", UNIT.read_text(encoding="utf-8"))


def test_the_socket_holds_the_address_that_lictor_listens_on_by_itself() -> None:
    settings = Settings()
    held = section(SOCKET, "Socket")
    assert held["ListenStream"] == f"{settings.host}:{settings.port}"
    # One process accepts all connections, and as many may wait as without the socket unit.
    assert held.get("Accept", "no") == "no"
    assert int(held["Backlog"]) == BACKLOG
