"""Where settings come from: flags > environment > file > default, each value with its origin.

Everything wrong is found in one go and told in one `Misconfigured`. Nothing here writes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lictor.config import prefect
from lictor.config.declaration import Setting
from lictor.config.settings import Settings, declared
from lictor.config.values import Unreadable, value

SYSTEM_FILE = Path("/etc/lictor/lictor.toml")
FILE_NAME = "lictor.toml"
SHOWN_MAX = 200
"""Characters of a wrong value that are repeated in its problem."""
CONFIG_VARIABLE = "LICTOR_CONFIG"


class Misconfigured(Exception):
    """The settings cannot be used. `problems`: one line each, saying what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Loaded(msgspec.Struct, frozen=True):
    """The settings in effect. `origins` says of each where it is from, as an operator names it."""

    settings: Settings
    origins: dict[str, str]
    warnings: list[str]


class _Found(msgspec.Struct, frozen=True):
    """A value before it is read, and where it stands."""

    raw: object
    origin: str


def load(
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    config: Path | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Loaded:
    """The settings that `flags` (by field name), `environment` and the file add up to.

    `config` is the file named by a flag. An empty variable counts as unset.

    Raises:
        Misconfigured: an unknown setting, an unreadable value, an unreadable file.
    """
    variables = {name: text for name, text in environment.items() if text != ""}
    problems = list(_unknown_variables(variables))
    if refusal := prefect.refused(variables):
        problems.append(refusal)
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    home = _home(flags, variables)
    path = config or _file_of(variables, home, system_file)
    file = _read_file(path, problems) if path is not None else {}
    for setting in declared():
        found = home if setting.name == "home" else _find(setting, flags, variables, file)
        origins[setting.name] = found.origin if found else "default"
        if found is None:
            continue
        try:
            chosen[setting.name] = value(setting, found.raw)
        except Unreadable as error:
            problems.append(_unusable(setting, found, error))
    if problems:
        raise Misconfigured(problems)
    settings = Settings(**chosen)
    settings = msgspec.structs.replace(settings, home=settings.home.absolute())
    return Loaded(settings, origins, list(_warnings(variables, settings)))


def _home(flags: Mapping[str, str], variables: Mapping[str, str]) -> _Found | None:
    """--home, else LICTOR_HOME, else the first of systemd's STATE_DIRECTORY."""
    if "home" in flags:
        return _Found(flags["home"], "flag --home")
    if home := variables.get("LICTOR_HOME"):
        return _Found(home, "environment LICTOR_HOME")
    if directory := variables.get("STATE_DIRECTORY"):
        return _Found(directory.split(":")[0], "environment STATE_DIRECTORY")
    return None


def _file_of(variables: Mapping[str, str], home: _Found | None, system_file: Path) -> Path | None:
    """The file named by the environment, else the first that is there of the home's and the
    system's; None without one, and when the home is unusable, which is told elsewhere.
    """
    named = variables.get(CONFIG_VARIABLE)
    setting = next(each for each in declared() if each.name == "home")
    try:
        place: Path = value(setting, named or (home.raw if home else str(setting.default)))
    except Unreadable:
        return Path(named) if named else None
    if named:
        return place
    return next((path for path in (place / FILE_NAME, system_file) if _is_there(path)), None)


def _find(
    setting: Setting,
    flags: Mapping[str, str],
    variables: Mapping[str, str],
    file: Mapping[str, _Found],
) -> _Found | None:
    """The strongest source that names `setting`."""
    if setting.name in flags:
        return _Found(flags[setting.name], f"flag --{setting.name.replace('_', '-')}")
    for name in setting.variables:
        if name in variables:
            return _Found(_translated(setting, name, variables[name]), f"environment {name}")
    return file.get(setting.name)


def _translated(setting: Setting, name: str, text: str) -> str:
    """A Prefect spelling in lictor's: only Prefect has the level CRITICAL."""
    if setting.name == "log_level" and name in setting.prefect and text.upper() == "CRITICAL":
        return "error"
    return text


def _read_file(path: Path, problems: list[str]) -> dict[str, _Found]:
    """The settings in the file, by name; its faults are added to `problems`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}.")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path} is not valid TOML: {error}.")
        return {}
    known = {setting.name for setting in declared()} - {"home"}
    for name in table.keys() - known:
        problems.append(f"{path}: {_no_such_key(name, known)}")
    return {name: _Found(raw, f"file {path}") for name, raw in table.items() if name in known}


def _is_there(path: Path) -> bool:
    """Whether `path` exists; what may not be looked at is there, and reading it says why not."""
    try:
        return path.exists()
    except OSError:
        return True


def _no_such_key(name: str, known: set[str]) -> str:
    if name == "home":
        return "home cannot be set in a file, because the file is looked for in it. Use --home."
    return f"there is no setting {name!r}{_did_you_mean(name, known)}"


def _unknown_variables(variables: Mapping[str, str]) -> Iterator[str]:
    known = {setting.variable for setting in declared()} | {CONFIG_VARIABLE}
    for name in sorted(variables):
        if name.startswith("LICTOR_") and name not in known:
            hint = _did_you_mean(name, known, "LICTOR_")
            yield f"there is no setting {name}{hint}"


def _did_you_mean(name: str, known: set[str], prefix: str = "") -> str:
    """A hint at the likeliest of `known`; the `prefix` they share says nothing about likeness."""
    import difflib  # for a start that fails only

    bare = [each.removeprefix(prefix) for each in known]
    close = difflib.get_close_matches(name.removeprefix(prefix), bare, n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else "remove it;"
    return f"; {hint} `lictor settings` lists all there are."


def _unusable(setting: Setting, found: _Found, error: Unreadable) -> str:
    shown = "" if setting.secret else f" = {str(found.raw)[:SHOWN_MAX]}"
    return f"{setting.name}{shown} (from {found.origin}): {error}."


def _warnings(variables: Mapping[str, str], settings: Settings) -> Iterator[str]:
    for name in sorted(name for name in variables if name.startswith("PREFECT_")):
        if text := prefect.warning(name, variables[name]):
            yield text
    yield from exposure(settings)


def exposure(settings: Settings) -> list[str]:
    """The warning that whoever reaches the host may do everything, if that is so."""
    if settings.api_auth_string is not None or _is_loopback(settings.host):
        return []
    return [
        f"listening on {settings.host} without api_auth_string: everyone who reaches the port "
        "may do everything. Set LICTOR_API_AUTH_STRING=user:password."
    ]


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
