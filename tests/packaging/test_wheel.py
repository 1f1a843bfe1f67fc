"""The wheel, built out of the sdist, holds the tree and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
FOLDERS = ("actors", "config", "daemon", "schema")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel built out of it."""
    tree, output = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("built")
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TREE / folder, tree / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TREE / file, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(tree)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return output


def wheel_files(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_source_file_is_in_the_wheel_under_one_import_name(built: Path) -> None:
    in_tree = {
        f"lictor/{path.relative_to(TREE).as_posix()}"
        for folder in FOLDERS
        for path in (TREE / folder).rglob("*")
        if path.suffix in (".py", ".sql", ".typed")
    }
    in_wheel = {name for name in wheel_files(built) if not name.startswith("lictor-")}
    assert in_wheel == in_tree


def test_the_wheel_has_the_licence_and_the_command(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "lictor = lictor.daemon.__main__:main" in archive.read(info).decode()
        licence = next(name for name in archive.namelist() if name.endswith("/LICENSE"))
        assert archive.read(licence) == (TREE / "LICENSE").read_bytes()


def test_the_sdist_has_what_the_wheel_is_built_from(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "schema/migrations/0001_runs.sql"} <= names
