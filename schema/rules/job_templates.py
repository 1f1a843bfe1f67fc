"""Base job templates of work pools: their shape, and whether job variables fit them.

A template has a `job_configuration`, whose texts hold placeholders such as `{{ image }}`, and
`variables`, a JSON Schema of the values for them. The server never renders it: workers do.

Source: `validate_base_job_template` of `prefect.server.schemas.actions`,
`prefect.server.api.validation`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from lictor.schema.errors import Invalid, NotFound
from lictor.schema.rules import json_schema

Template = Mapping[str, Any]
Blocks = Callable[[str], Any]
"""The data of the block document of this id; None if there is none."""

_PLACEHOLDER = re.compile(r"\{\{\s*([\w.\-\[\]$]+)\s*\}\}", re.ASCII)
"""Its name is plain ASCII: others are escaped in the text that is searched for it."""
_NOTHING: Mapping[str, Any] = {}


def no_blocks(_id: str) -> Any:
    """The blocks of a server that has none."""
    return None


def fault(template: Template) -> str | None:
    """What is wrong with the shape of a template; None for a sound one. `{}` is sound."""
    if not template:
        return None
    configuration, variables = template.get("job_configuration"), template.get("variables")
    if not (configuration and variables):
        return "A base job template needs both `job_configuration` and `variables`."
    if not (isinstance(configuration, dict) and isinstance(variables, dict)):
        return "`job_configuration` and `variables` of a base job template must be objects."
    declared = variables.get("properties") or _NOTHING
    # The keys of the configuration are the worker's, and are not searched.
    used = _PLACEHOLDER.findall(msgspec.json.encode(list(configuration.values())).decode())
    undeclared = [name for name in dict.fromkeys(used) if name not in declared]
    if undeclared:
        names = ", ".join(undeclared)
        return f"The job configuration uses variables that `variables` does not declare: {names}."
    return None


def check_defaults(template: Template, blocks: Blocks = no_blocks) -> None:
    """Return if the defaults of a template fit its own schema.

    Raises:
        Invalid: they do not, or `variables` is no schema.
        NotFound: a default refers to a block that does not exist.
    """
    try:
        _check(template, (), blocks, required=False, drop_unfit=False)
    except json_schema.InvalidValue as error:
        message = f"Validation failed for work pool's job variable defaults: {error}"
        raise Invalid(message) from error


def check_variables(
    template: Template,
    layers: Iterable[Mapping[str, Any] | None],
    *,
    required: bool,
    blocks: Blocks = no_blocks,
) -> None:
    """Return if job variables fit a template: its defaults, overridden by each of `layers`.

    `required`: whether every required variable must be there by now. Defaults that do not fit
    their own schema are left out, and then nothing is required.

    Raises:
        json_schema.InvalidValue: a variable does not fit.
        Invalid: `variables` is no schema.
        NotFound: a default refers to a block that does not exist.
    """
    _check(template, layers, blocks, required=required, drop_unfit=True)


def _check(
    template: Template,
    layers: Iterable[Mapping[str, Any] | None],
    blocks: Blocks,
    *,
    required: bool,
    drop_unfit: bool,
) -> None:
    schema = template.get("variables")
    if not schema:
        return
    try:
        json_schema.require_schema(schema)
        values, has_unfit = _defaults(schema, blocks, drop_unfit)
        for layer in layers:
            values.update(layer or {})
        partial = not required or has_unfit
        json_schema.check(values, schema, may_be_partial=partial, null_for_default=True)
    except json_schema.UnusableSchema as error:
        raise Invalid(str(error)) from error


def _defaults(
    schema: Mapping[str, Any], blocks: Blocks, drop_unfit: bool
) -> tuple[dict[str, Any], bool]:
    """The defaults of a schema's properties, and whether one was left out as unfit."""
    values: dict[str, Any] = {}
    has_unfit = False
    for name, attributes in (schema.get("properties") or _NOTHING).items():
        if not isinstance(attributes, dict) or "default" not in attributes:
            continue
        value = attributes["default"]
        if isinstance(value, dict) and "$ref" in value:
            value = _of_block(value["$ref"], blocks)
            if value is None:
                continue
        if drop_unfit and not _fits({name: value}, schema):
            has_unfit = True
        else:
            values[name] = value
    return values, has_unfit


def _fits(values: dict[str, Any], schema: Any) -> bool:
    try:
        json_schema.check(values, schema, may_be_partial=True, as_written=True, with_formats=True)
    except json_schema.InvalidValue:
        return False
    return True


def _of_block(reference: Any, blocks: Blocks) -> Any:
    """The data that a default refers to; None if it names no block document."""
    id_ = reference.get("block_document_id") if isinstance(reference, dict) else None
    if id_ is None:
        return None
    data = blocks(str(id_))
    if data is None:
        raise NotFound("Block not found.")
    return data
