"""What `lictor check` prints: a table on a terminal, aligned columns in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lictor.config.declaration import Setting
from lictor.config.load import Loaded
from lictor.config.settings import declared

HIDDEN = "********"


def rows(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    """(name, value with its unit, origin) of each setting; secrets are hidden."""
    for setting in declared():
        value = getattr(loaded.settings, setting.name)
        yield setting.name, _shown(setting, value), loaded.origins[setting.name]


def print_settings(loaded: Loaded) -> None:
    """Write the settings in effect to stdout."""
    if sys.stdout.isatty():
        _print_table(loaded)
        return
    lines = list(rows(loaded))
    names, values = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, value, origin in lines:
        sys.stdout.write(f"{name:<{names}}  {value:<{values}}  {origin}\n")


def _print_table(loaded: Loaded) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "from", box=None, header_style="bold")
    for name, value, origin in rows(loaded):
        table.add_row(name, value, origin, style=None if origin != "default" else "dim")
    Console(markup=False, emoji=False).print(table)


def _shown(setting: Setting, value: object) -> str:
    if value is None:
        return "-"
    if setting.secret:
        return HIDDEN
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {setting.unit}".rstrip()
