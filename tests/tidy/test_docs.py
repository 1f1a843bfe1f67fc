"""What an operator can use is written down: commands, flags, exit codes, dependencies."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest

from lictor.daemon.commands import cli
from lictor.daemon.exits import Exit

TREE = Path(__file__).parents[2]
README = (TREE / "README.md").read_text(encoding="utf-8")
OPERATIONS = (TREE / "docs/operations.md").read_text(encoding="utf-8")
MODULES = {"python-dateutil": "dateutil", "quart-trio": "quart_trio"}


def dependencies() -> list[str]:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
    return [re.split(r"[\[<>=~! ]", each)[0] for each in project["project"]["dependencies"]]


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_is_in_the_readme_and_has_help(command: str) -> None:
    assert f"lictor {command}" in README
    assert cli.commands[command].help


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_help_of_a_command_shows_examples(command: str) -> None:
    context = click.Context(cli.commands[command], info_name=f"lictor {command}")
    assert f"  lictor {command}" in cli.commands[command].get_help(context).split("Examples:")[1]


def test_every_flag_is_explained() -> None:
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                continue
            assert isinstance(parameter, click.Option)
            assert parameter.help, parameter.name


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_in_the_operators_manual(code: Exit) -> None:
    assert re.search(rf"^\| {int(code)} \|", OPERATIONS, re.MULTILINE)


@pytest.mark.parametrize("dependency", dependencies())
def test_every_dependency_has_its_reason(dependency: str) -> None:
    page = (TREE / "docs/dependencies.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| {re.escape(dependency)} \|", page, re.MULTILINE)


@pytest.mark.parametrize("dependency", dependencies())
def test_every_dependency_is_used(dependency: str) -> None:
    module = MODULES.get(dependency, dependency)
    imported = {
        name.split(".")[0]
        for folder in ("actors", "config", "daemon", "schema")
        for path in (TREE / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
    }
    assert module in imported


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return []


def test_every_relative_link_leads_somewhere() -> None:
    pages = [TREE / "README.md", TREE / "CHANGELOG.md", *(TREE / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(TREE)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
