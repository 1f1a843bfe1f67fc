"""The page of all settings, written from their declaration: `lictor settings`, docs/settings.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lictor.config.declaration import Setting
from lictor.config.settings import declared

_HEAD = """\
# Settings

Each setting has one value: that of the flag, else of the environment variable, else of the file,
else the default. `lictor check` prints the values in effect and where each is from.

- **Flags** exist for `--host`, `--port`, `--home` and `--log-level`; `--config` names the file.
- **Environment**: `LICTOR_` and the name in capitals (`LICTOR_PORT=4300`). The Prefect server's own
  variable works too where one is listed; lictor's wins. An empty variable counts as unset. A
  variable `LICTOR_…` that does not exist stops the start. No `PREFECT_…` variable does, except
  those that point a Prefect server to another database.
- **File**: TOML with the names below (`port = 4300`), named by `--config` or `LICTOR_CONFIG`, else
  `lictor.toml` in the home, else `/etc/lictor/lictor.toml`. A key that does not exist stops the
  start.
- **Durations** are seconds (`90`), `HH:MM:SS` (`00:01:30`) or ISO 8601 (`PT1M30S`), everywhere.

The home is `--home`, else `LICTOR_HOME`, else systemd's `STATE_DIRECTORY`, else `~/.lictor`. It is
never `PREFECT_HOME`, and a directory that holds a Prefect server's database is refused.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *(line for setting in declared() for line in _entry(setting))))


def _entry(setting: Setting) -> Iterator[str]:
    yield f"## `{setting.name}`\n"
    yield f"{setting.reason}\n"
    unit = f" {setting.unit}" if setting.unit else ""
    yield f"- Default: {_default(setting)}{unit if setting.default is not None else ''}"
    if setting.range:
        yield f"- Allowed: {setting.range}"
    yield f"- Environment: {', '.join(f'`{name}`' for name in setting.variables)}"
    yield ""


def _default(setting: Setting) -> str:
    default = setting.default
    if isinstance(default, Path):
        return "`~/.lictor`"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
