"""The home belongs to one lictor, is private, and is never Prefect's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.daemon.exits import CannotStart, Exit
from lictor.daemon.home import LOCK, held


@pytest.fixture(autouse=True)
def _same_umask_afterwards() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def hold(home: Path) -> None:
    with held(home):
        pass


def test_a_new_home_and_what_is_in_it_are_private(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    with held(home):
        (home / "lictor.db").touch()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for file in home.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_home_in_use_is_refused_naming_the_process(tmp_path: Path) -> None:
    with held(tmp_path):
        with pytest.raises(CannotStart, match=f"process {os.getpid()}.*--home") as caught:
            hold(tmp_path)
        assert caught.value.code is Exit.HOME_IN_USE
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_home_is_free_again_after_its_holder(tmp_path: Path) -> None:
    hold(tmp_path)
    hold(tmp_path)


def test_a_home_of_prefect_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(CannotStart, match=r"Prefect server.*--home") as caught, held(tmp_path):
        pass
    assert caught.value.code is Exit.CONFIGURATION
    assert [file.name for file in tmp_path.iterdir()] == ["prefect.db"]


def test_a_home_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="Not a directory") as caught:
        hold(tmp_path / "file" / "home")
    assert caught.value.code is Exit.HOME
