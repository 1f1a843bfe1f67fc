"""Hydration: placeholders in a JSON value, as forms and automations leave them, become what they
stand for.

A placeholder is an object with the key `__prefect_kind`:

| kind | reads | becomes |
| --- | --- | --- |
| `none` | `value` | the value, hydrated further |
| `json` | `value` | the JSON in the text; an object is hydrated first; without `value` nothing |
| `jinja` | `template` | the text of the rendered template |
| `workspace_variable` | `variable_name` | that variable's value; without a name nothing |
| anything else | `value` | the value as it is, or null |

"Nothing" removes the entry from the object or list around it.

Source: `prefect.utilities.schema_tools.hydration`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lictor.schema.rules import templates

KIND = "__prefect_kind"

Variables = Callable[[str], Any]
"""The value of the variable of this name; raises `UnknownVariable`. Asked only for those named."""


class HydrationFailed(Exception):
    """A placeholder cannot be resolved; the text says why, for the one who sent it."""


class UnknownVariable(HydrationFailed):
    """There is no variable of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Variable {name!r} not found in workspace.")


class _Nothing:
    """What a placeholder becomes that is to be removed."""


_NOTHING = _Nothing()


def no_variables(name: str) -> Any:
    """The variables of a server that has none."""
    raise UnknownVariable(name)


def hydrate(value: Any, variables: Variables) -> Any:
    """`value` with every placeholder in it resolved; an object that is removed leaves `{}`.

    Raises:
        HydrationFailed: a placeholder cannot be resolved.
    """
    try:
        hydrated = _hydrated(value, variables)
    except RecursionError:
        raise HydrationFailed("The value is nested too deeply.") from None
    return {} if hydrated is _NOTHING else hydrated


def _hydrated(value: Any, variables: Variables) -> Any:
    if isinstance(value, dict):
        if KIND in value:
            return _resolved(value, variables)
        pairs = ((key, _hydrated(each, variables)) for key, each in value.items())
        return {key: each for key, each in pairs if each is not _NOTHING}
    if isinstance(value, list):
        found = (_hydrated(each, variables) for each in value)
        return [each for each in found if each is not _NOTHING]
    return value


def _resolved(placeholder: dict[str, Any], variables: Variables) -> Any:
    kind = placeholder[KIND]
    if kind == "none":
        return _hydrated(_required(placeholder, "value"), variables)
    if kind == "json":
        return _from_json(placeholder, variables)
    if kind == "jinja":
        return _rendered(placeholder, variables)
    if kind == "workspace_variable":
        return _variable(placeholder, variables)
    return placeholder.get("value")


def _from_json(placeholder: dict[str, Any], variables: Variables) -> Any:
    if "value" not in placeholder:
        return _NOTHING
    value = _argument(placeholder["value"], variables)
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise HydrationFailed(f"Invalid JSON: {error}") from error


def _rendered(placeholder: dict[str, Any], variables: Variables) -> Any:
    template = _argument(_required(placeholder, "template"), variables)
    if template is _NOTHING:
        return _NOTHING
    if not isinstance(template, str):
        raise HydrationFailed("Invalid jinja: the template is not a text.")
    try:
        return templates.render(template, {})
    except templates.TemplateFailed as error:
        raise HydrationFailed(f"Invalid jinja: {error}") from error


def _variable(placeholder: dict[str, Any], variables: Variables) -> Any:
    if "variable_name" not in placeholder:
        return _NOTHING
    name = _argument(placeholder["variable_name"], variables)
    if name is _NOTHING:
        return _NOTHING
    if not isinstance(name, str):
        raise HydrationFailed("The name of a variable is not a text.")
    return variables(name)


def _argument(value: Any, variables: Variables) -> Any:
    """What a placeholder reads may be a placeholder itself; lists in it are left as they are."""
    return _hydrated(value, variables) if isinstance(value, dict) else value


def _required(placeholder: dict[str, Any], key: str) -> Any:
    if key not in placeholder:
        raise HydrationFailed(f"Missing {key!r} key in __prefect object")
    return placeholder[key]
