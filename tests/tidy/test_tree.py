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
_FRAME = "a frame is built once, by whoever has the news, for all its subscribers"
_PART = "the pages are a part of the event hub in a file of their own"
_MESSAGE = "the type of a message"
_PLACE = "the type of what a subscriber is handed"
IMPORTED_ACTORS = {
    "actors/event_pages.py imports lictor.actors.ingress.socket.text_frame": _FRAME,
    "actors/logs.py imports lictor.actors.ingress.socket.text_frame": _FRAME,
    "actors/events.py imports lictor.actors.event_pages.Delivery": _PART,
    "actors/events.py imports lictor.actors.event_pages.EventPages": _PART,
    "actors/ingress/sockets/events.py imports lictor.actors.event_pages.Delivery": _MESSAGE,
    "actors/ingress/sockets/events.py imports lictor.actors.events.Pending": _MESSAGE,
    "actors/ingress/sockets/logs.py imports lictor.actors.logs.frame_of": _FRAME,
    "actors/ingress/sockets/workers.py imports lictor.actors.cleanup.Lane": _PLACE,
    "actors/ingress/sockets/workers.py imports lictor.actors.cleanup.Taker": _MESSAGE,
    "actors/ingress/sockets/workers.py imports lictor.actors.worker_channel.PoolGone": _MESSAGE,
    "actors/ingress/sockets/workers.py imports lictor.actors.worker_channel.Seat": _MESSAGE,
    "actors/ingress/sockets/task_runs.py imports lictor.actors.task_queue.Subscription": _PLACE,
}
KERNEL = frozenset({"deadlines", "executor", "fanout", "journal", "mailbox", "observe", "readers"})
"""What every actor may import from `actors/`: how it is reached, and where it reads and writes."""

ALLOWED = {
    "config": {"config"},
    "schema": {"config", "schema"},
    "actors": {"config", "schema", "actors"},
    "daemon": {"config", "schema", "actors", "daemon"},
}
FOREIGN = {
    "config": {"msgspec"},
    "schema": {
        *("msgspec", "apsw", "jinja2", "jsonschema", "referencing", "regex"),
        *("croniter", "dateutil"),
    },
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


def assert_listed(found: dict[str, str], listed: dict[str, str] | None = None) -> None:
    """Fail for what was found and is not listed, and for a listed line that is true no more."""
    listed = listed or {}
    stale = sorted(listed.keys() - found.keys())
    assert not stale, f"no longer exceptions: {stale}"
    lines = [f"{where}: {what}" for where, what in sorted(found.items()) if where not in listed]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def test_no_file_is_too_long() -> None:
    found: dict[str, str] = {}
    for path in sources(*FOLDERS, "tests"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES_MAX:
            found[name(path)] = f"{lines} lines"
    assert_listed(found, LONG_FILES)


def test_no_function_is_too_long() -> None:
    found: dict[str, str] = {}
    for path in sources(*FOLDERS, "tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found[f"{name(path)}::{node.name}"] = f"{lines} lines"
    assert_listed(found, LONG_FUNCTIONS)


def test_no_line_is_too_long() -> None:
    found: dict[str, str] = {}
    sql = [path for folder in FOLDERS for path in (TREE / folder).rglob("*.sql")]
    for path in (*sources(*FOLDERS, "tests"), *sql):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > LINE_LENGTH_MAX:
                found[f"{name(path)}:{number}"] = f"{len(line)} characters"
    assert_listed(found, LONG_LINES)


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = {
        f"{name(path)}:{number}": line.strip()
        for path in sources(*FOLDERS, "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marker.search(line)
    }
    assert_listed(found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder: str) -> None:
    found = {
        f"{name(path)} imports {imported}": "not allowed"
        for path in sources(folder)
        for imported in imports(parsed(path))
        if imported.startswith("lictor.") and imported.split(".")[1] not in ALLOWED[folder]
    }
    assert_listed(found)


@pytest.mark.parametrize("folder", FOREIGN)
def test_the_pure_folders_know_neither_trio_nor_http(folder: str) -> None:
    allowed = FOREIGN[folder] | set(sys.stdlib_module_names) | {"lictor"}
    found = {
        f"{name(path)} imports {imported}": "not allowed"
        for path in sources(folder)
        for imported in imports(parsed(path))
        if imported.split(".")[0] not in allowed - {"asyncio", "socket", "http", "urllib"}
    }
    assert_listed(found)


def test_an_actor_imports_no_other_actors_module() -> None:
    found: dict[str, str] = {}
    for path in sources("actors"):
        own = path.relative_to(TREE / "actors").parts[0].removesuffix(".py")
        for imported in imports(parsed(path)):
            parts = imported.split(".")
            if parts[:2] == ["lictor", "actors"] and parts[2] not in KERNEL | {own}:
                found[f"{name(path)} imports {imported}"] = "not in KERNEL"
    assert_listed(found, IMPORTED_ACTORS)


def module_name(path: Path) -> str:
    parts = path.relative_to(TREE).with_suffix("").parts
    return ".".join(("lictor", *parts)).removesuffix(".__init__")


def test_every_module_is_tested_itself_or_through_one_that_imports_it() -> None:
    """A part behind a face is tested through the face; two steps behind it needs a test."""
    modules = {module_name(path): parsed(path) for path in sources(*FOLDERS)}
    needs = {
        module: {each for name in imports(tree) for each in (name, name.rpartition(".")[0])}
        for module, tree in modules.items()
    }
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources("tests"))
    named = set(re.findall(r"lictor\.[\w.]*\w", text))
    for path in sources("tests"):
        named.update(imports(parsed(path)))
    tested = {each for name in named for each in (name, name.rpartition(".")[0])}
    reached = tested.union(*(needs[module] for module in tested & modules.keys()))
    found = {
        module: "no test imports it, nor what imports it"
        for module, tree in modules.items()
        if module not in reached and not all(isinstance(node, ast.Expr) for node in tree.body)
    }
    assert_listed(found, UNTESTED)


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
