"""The tree keeps its own rules. An exception is a listed line with a reason."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
FOLDERS = ("config", "schema", "actors", "daemon")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
LINE_LENGTH_MAX = 100

LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
LONG_LINES: dict[str, str] = {}
UNTESTED: dict[str, str] = {}
KERNEL = frozenset({"executor", "fanout", "journal", "mailbox", "observe", "readers"})
"""What every actor may import from `actors/`: how it is reached, and where it reads and writes."""

ALLOWED = {
    "config": {"config"},
    "schema": {"config", "schema"},
    "actors": {"config", "schema", "actors"},
    "daemon": {"config", "schema", "actors", "daemon"},
}
FOREIGN = {
    "config": {"msgspec"},
    "schema": {"msgspec", "apsw"},
}
"""Distributions the pure folders may import; the others may import any dependency."""


def sources(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (TREE / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def name(path: Path) -> str:
    return path.relative_to(TREE).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is imported when the module runs (not for type checkers alone)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def unlisted(found: dict[str, object], listed: dict[str, str]) -> dict[str, object]:
    """What was found and is not listed; a listed line that is no longer true fails as well."""
    stale = listed.keys() - found.keys()
    assert not stale, f"no longer exceptions: {stale}"
    return {key: value for key, value in found.items() if key not in listed}


def test_no_file_is_too_long() -> None:
    found: dict[str, object] = {}
    for path in sources(*FOLDERS, "tests"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES_MAX:
            found[name(path)] = lines
    assert unlisted(found, LONG_FILES) == {}


def test_no_function_is_too_long() -> None:
    found: dict[str, object] = {}
    for path in sources(*FOLDERS, "tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found[f"{name(path)}::{node.name}"] = lines
    assert unlisted(found, LONG_FUNCTIONS) == {}


def test_no_line_is_too_long() -> None:
    found: dict[str, object] = {}
    sql = [path for folder in FOLDERS for path in (TREE / folder).rglob("*.sql")]
    for path in (*sources(*FOLDERS, "tests"), *sql):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > LINE_LENGTH_MAX:
                found[f"{name(path)}:{number}"] = len(line)
    assert unlisted(found, LONG_LINES) == {}


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [
        f"{name(path)}:{number}"
        for path in sources(*FOLDERS, "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marker.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder: str) -> None:
    found = [
        f"{name(path)} imports {imported}"
        for path in sources(folder)
        for imported in imports(parsed(path))
        if imported.startswith("lictor.") and imported.split(".")[1] not in ALLOWED[folder]
    ]
    assert found == []


@pytest.mark.parametrize("folder", FOREIGN)
def test_the_pure_folders_know_neither_trio_nor_http(folder: str) -> None:
    allowed = FOREIGN[folder] | set(sys.stdlib_module_names) | {"lictor"}
    found = [
        f"{name(path)} imports {imported}"
        for path in sources(folder)
        for imported in imports(parsed(path))
        if imported.split(".")[0] not in allowed - {"asyncio", "socket", "http", "urllib"}
    ]
    assert found == []


def test_an_actor_imports_no_other_actors_module() -> None:
    found = []
    for path in sources("actors"):
        own = path.relative_to(TREE / "actors").parts[0].removesuffix(".py")
        for imported in imports(parsed(path)):
            parts = imported.split(".")
            if parts[:2] == ["lictor", "actors"] and parts[2] not in KERNEL | {own}:
                found.append(f"{name(path)} imports {imported}")
    assert found == []


def test_every_module_is_mentioned_by_a_test() -> None:
    words: set[str] = set()
    for path in sources("tests"):
        words.update(re.findall(r"\w+", path.read_text(encoding="utf-8") + " " + path.stem))
    found: dict[str, object] = {}
    for path in sources(*FOLDERS):
        module = ".".join(path.relative_to(TREE).with_suffix("").parts)
        if parsed(path).body and path.stem not in words | {"__init__"}:
            found[module] = "no test mentions it"
    assert unlisted(found, UNTESTED) == {}


def test_every_package_is_listed_for_the_wheel() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["setuptools"]["packages"])
    in_tree = {
        "lictor." + ".".join(path.parent.relative_to(TREE).parts)
        for folder in FOLDERS
        for path in (TREE / folder).rglob("*")
        if path.suffix in (".py", ".sql")
    }
    assert packages == in_tree


def test_the_locks_name_hashes_and_no_place() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (TREE / lock).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index" not in text
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert all("--hash=sha256:" in block for block in blocks), lock
