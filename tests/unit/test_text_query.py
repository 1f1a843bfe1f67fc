"""The text query of logs and events."""

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.schema.filters.text_query import Matcher, TextQuery, conditions, parse


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", TextQuery()),
        (" \t ", TextQuery()),
        ("one two", TextQuery(include=("one", "two"))),
        ("one -two !three +four", TextQuery(("one",), ("two", "three"), ("four",))),
        ('"one two" three', TextQuery(include=("one two", "three"))),
        ('-"one two"', TextQuery(exclude=("one two",))),
        ('+"one', TextQuery(required=("one",))),
        ('a"b c"', TextQuery(include=("a", "b c"))),
        ("- one", TextQuery(include=("one",))),
        ("one -", TextQuery(include=("one",))),
        ("+", TextQuery()),
        ("--one", TextQuery(exclude=("-one",))),
        ("one-two", TextQuery(include=("one-two",))),
        ('"  " ""', TextQuery()),
        (r'"say \"hi\" \\ \n"', TextQuery(include=('say "hi" \\ \\n',))),
        ('"open \\', TextQuery(include=("open \\",))),
        ('"a\nb"', TextQuery(include=("a\nb",))),
        ("one\u00a0two", TextQuery(include=("one", "two"))),
    ],
)
def test_a_query_is_taken_apart(query: str, expected: TextQuery) -> None:
    assert parse(query) == expected


@given(st.text(alphabet='ab -!+"\\\n\u00e9', max_size=30))
def test_every_text_is_a_query_without_blank_terms(query: str) -> None:
    for terms in parse(query):
        assert all(term.strip() for term in terms)


@pytest.mark.parametrize(
    ("query", "haystack", "is_match"),
    [
        ("ALPHA", "one alpha", True),
        ("alpha beta", "only beta", True),
        ("alpha -beta", "alpha beta", False),
        ("-beta", "alpha", True),
        ("+alpha +beta", "alpha", False),
        ("+alpha +beta", "beta alpha", True),
        ("tw%", "two", False),
        ("tw%", "tw% off", True),
        ("a_b", "axb", False),
        ("a_b", "a_b", True),
        (r"c:\dir", r"in C:\DIR", True),
        ("\u00c9COLE", "une \u00e9cole", True),
        ("\u00e9cole", "UNE \u00c9COLE", True),
        ("", "anything", True),
    ],
)
def test_live_and_stored_matching_agree(query: str, haystack: str, is_match: bool) -> None:
    parsed = parse(query)
    assert Matcher(parsed).matches(haystack) is is_match
    assert _matches_in_sql(parsed, haystack) is is_match


def test_each_group_of_terms_is_a_condition_of_its_own() -> None:
    found = conditions(parse("a -b +c"), "text")
    assert len(found) == 3
    assert [arguments for _, arguments in found] == [["%a%"], ["%b%"], ["%c%"]]


@given(
    st.text(alphabet="aB%_\\ ", max_size=8),
    st.lists(st.text(alphabet="aB%_\\", min_size=1, max_size=3), max_size=3),
)
def test_ascii_terms_match_alike_in_sql_and_in_memory(haystack: str, terms: list[str]) -> None:
    parsed = TextQuery(include=tuple(terms[:1]), exclude=tuple(terms[1:2]), required=(*terms[2:],))
    assert Matcher(parsed).matches(haystack) is _matches_in_sql(parsed, haystack)


def _matches_in_sql(query: TextQuery, haystack: str) -> bool:
    where = conditions(query, "text")
    sql = " AND ".join(["1", *(part for part, _ in where)])
    arguments = [haystack, *(argument for _, part in where for argument in part)]
    connection = apsw.Connection(":memory:")
    found = connection.execute(
        f"SELECT count(*) FROM (SELECT ? AS text) WHERE {sql}", arguments
    ).fetchone()
    connection.close()
    assert found is not None
    return found[0] == 1
