"""Templates of users stay inside their sandbox and their bounds."""

from __future__ import annotations

import pytest

from lictor.schema.rules.templates import TemplateFailed, render


def test_a_template_is_rendered_with_its_context() -> None:
    assert (
        render("{{ a.b }}-{% for x in range(3) %}{{ x }}{% endfor %}", {"a": {"b": 1}}) == "1-012"
    )


def test_a_text_without_marks_is_no_template() -> None:
    assert render("100 % of {it}", {}) == "100 % of {it}"


def test_unknown_names_are_empty_however_deep() -> None:
    assert render("[{{ a.b['c'].d }}]", {}) == "[]"


@pytest.mark.parametrize(
    "template",
    [
        "{{ [].append(1) }}",
        "{% for x in range(101) %}{% endfor %}",
        "{{ 'x' * 10000000 }}",
        "{{ 10000000 * 'x' }}",
        "{{ 9 ** 9999999 }}",
        "{{ 9 ** -9999999 }}",
        "{% for a in x %}{% for b in a %}{% for c in b %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in x %}{% endfor %}" * 11,
        "{% for %}",
        "{{ a",
        "{{ 1 + 'x' }}",
        "{{ 2 * none }}",
    ],
)
def test_what_is_malformed_or_forbidden_or_fails_is_refused(template: str) -> None:
    with pytest.raises(TemplateFailed):
        render(template, {"x": []})


def test_the_insides_of_python_are_not_to_be_had() -> None:
    assert render("[{{ ''.__class__.__mro__ }}]", {}) == "[]"
