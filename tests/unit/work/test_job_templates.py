"""Base job templates: their shape, and job variables against them."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.schema.errors import Invalid, NotFound
from lictor.schema.rules.job_templates import check_defaults, check_variables, fault
from lictor.schema.rules.json_schema import InvalidValue


def template(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "job_configuration": {name: f"{{{{ {name} }}}}" for name in properties},
        "variables": {"type": "object", "properties": properties, "required": required or []},
    }


def test_an_empty_template_and_one_whose_placeholders_are_declared_are_sound() -> None:
    assert fault({}) is None
    assert fault(template(a={"type": "string"})) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_configuration": {"a": 1}},
        {"job_configuration": {}, "variables": {"properties": {}}},
        {"job_configuration": {"a": 1}, "variables": {}},
        {"job_configuration": [1], "variables": {"properties": {}}},
        {"job_configuration": {"a": {"b": ["{{ deep.in }}"]}}, "variables": {"properties": {}}},
    ],
)
def test_what_workers_could_not_render_is_refused(wrong: dict[str, Any]) -> None:
    assert fault(wrong) is not None


@pytest.mark.parametrize(
    "configuration", [{"{{ key }}": "x"}, {"a": "{{ größe }}"}, {"a": "{{ \n }}"}, {"a": "{{}}"}]
)
def test_what_is_no_placeholder_needs_no_variable(configuration: dict[str, Any]) -> None:
    variables = {"properties": {"x": {}}}
    assert fault({"job_configuration": configuration, "variables": variables}) is None


def test_variables_must_be_a_schema_as_they_are_written() -> None:
    tuple_ = {"type": "array", "items": [{"type": "string"}], "default": ["a"]}
    with pytest.raises(Invalid):
        check_defaults(template(a=tuple_))
    with pytest.raises(Invalid):
        check_defaults({"variables": {"properties": {"a": {}}, "required": "a"}})
    with pytest.raises(Invalid):
        check_defaults({"variables": {"properties": ["a"]}})


def test_defaults_must_fit_their_own_schema_but_need_not_be_all() -> None:
    check_defaults(template(["a", "b"], a={"type": "string"}, b={"type": "integer", "default": 1}))
    with pytest.raises(Invalid, match="defaults"):
        check_defaults(template(a={"type": "integer", "default": "text"}))
    with pytest.raises(Invalid):
        check_defaults(template(a={"type": "nonsense", "default": 1}))


def test_later_layers_override_and_required_variables_may_come_from_any() -> None:
    pool = template(["a", "b"], a={"type": "string", "default": "x"}, b={"type": "integer"})
    check_variables(pool, [{"b": "wrong"}, {"b": 2}], required=True)
    check_variables(pool, [None], required=False)
    with pytest.raises(InvalidValue, match="'b' is a required property"):
        check_variables(pool, [{"a": "y"}], required=True)
    with pytest.raises(InvalidValue, match="b"):
        check_variables(pool, [{"b": "text"}], required=False)


def test_an_unfit_default_is_left_out_and_then_nothing_is_required() -> None:
    pool = template(["b"], a={"type": "integer", "default": "text"}, b={"type": "integer"})
    check_variables(pool, [{}], required=True)
    with pytest.raises(InvalidValue):
        check_variables(pool, [{"b": "text"}], required=True)


def test_a_default_is_unfit_by_its_format_or_by_what_only_older_schemas_mean() -> None:
    by_format = {"type": "string", "format": "date", "default": "soon"}
    inner = {"type": "object", "properties": {"c": {"type": "string"}}, "default": {"c": None}}
    for unfit in (by_format, inner):
        check_variables(template(["b"], a=unfit, b={}), [{}], required=True)


def test_optional_variables_take_null_even_with_a_default_and_required_ones_do_not() -> None:
    pool = template(["b"], a={"type": "string", "default": "x"}, b={"type": "string"})
    check_variables(pool, [{"a": None, "b": "y"}], required=True)
    for required in (True, False):
        with pytest.raises(InvalidValue):
            check_variables(pool, [{"b": None}], required=required)


def test_a_variable_may_be_called_required() -> None:
    pool = template(required_={"type": "string"}, a={"type": "string"})
    pool["variables"]["properties"]["required"] = {"type": "integer"}
    with pytest.raises(InvalidValue):
        check_variables(pool, [{"required": "text"}], required=False)


def test_a_default_may_be_a_block() -> None:
    reference = {"$ref": {"block_document_id": "one"}}
    pool = template(["a"], a={"type": "object", "required": ["x"], "default": reference})
    check_variables(pool, [], required=True, blocks={"one": {"x": 1}}.get)
    with pytest.raises(NotFound):
        check_defaults(pool)
