"""The text query of logs and events: `error -debug "connection reset" +prod`.

Terms are separated by white space; `"..."` holds a phrase together. A term is looked for as a
substring, whatever its case. Of the plain terms at least one must be there, of those after `-` or
`!` none, of those after `+` all.

Source: `prefect.server.utilities.text_search_parser`; `LogFilterTextSearch` and `EventTextFilter`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

QUERY_LENGTH_MAX = 200
"""Longest query, in characters; a longer one is refused by the filters that carry it."""

_TOKEN = re.compile(
    r"""(?P<sign>[-!+])? (?: "(?P<phrase>(?:\\.|[^"\\]|\\\Z)*)"? | (?P<word>[^\s"]+) )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\])')


class TextQuery(NamedTuple):
    """A query taken apart; the terms as they were typed."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def parse(query: str) -> TextQuery:
    """Take `query` apart. Every text is a query: what makes no sense is passed over.

    A sign with nothing directly behind it is dropped, an unclosed phrase runs to the end, and
    blank phrases are dropped. Inside a phrase `\\"` and `\\\\` stand for a quote and a backslash.
    """
    include: list[str] = []
    exclude: list[str] = []
    required: list[str] = []
    target = {None: include, "-": exclude, "!": exclude, "+": required}
    at = 0
    while at < len(query):
        if query[at].isspace() or _is_lone_sign(query, at):
            at += 1
            continue
        token = _TOKEN.match(query, at)
        assert token is not None
        at = token.end()
        phrase = token["phrase"]
        term = token["word"] if phrase is None else _ESCAPE.sub(r"\1", phrase)
        if term and not term.isspace():
            target[token["sign"]].append(term)
    return TextQuery(tuple(include), tuple(exclude), tuple(required))


def _is_lone_sign(query: str, at: int) -> bool:
    return query[at] in "-!+" and (at + 1 == len(query) or query[at + 1].isspace())


class Matcher:
    """A parsed query, ready to be held against many texts."""

    __slots__ = ("_exclude", "_include", "_required")

    def __init__(self, query: TextQuery) -> None:
        self._include = [term.lower() for term in query.include]
        self._exclude = [term.lower() for term in query.exclude]
        self._required = [term.lower() for term in query.required]

    def matches(self, haystack: str) -> bool:
        """Whether `haystack`, in any case, satisfies the query."""
        text = haystack.lower()
        return (
            (not self._include or any(term in text for term in self._include))
            and not any(term in text for term in self._exclude)
            and all(term in text for term in self._required)
        )


def conditions(query: TextQuery, haystack: str) -> list[tuple[str, list[str]]]:
    """The query as SQL conditions with their arguments, one for each group of terms in use.

    `haystack` is an SQL expression, never input. The groups stand alone so that a filter whose
    operator is `or_` can join them by OR, as Prefect does.
    """
    found: list[tuple[str, list[str]]] = []
    for terms, joint, negated in (
        (query.include, " OR ", False),
        (query.exclude, " OR ", True),
        (query.required, " AND ", False),
    ):
        if terms:
            parts = [_contains(term, haystack) for term in terms]
            sql = f"({joint.join(part for part, _ in parts)})"
            args = [argument for _, arguments in parts for argument in arguments]
            found.append((f"NOT {sql}" if negated else sql, args))
    return found


def _contains(term: str, haystack: str) -> tuple[str, list[str]]:
    """SQLite's `lower` folds ASCII alone, so other letters are asked for in each of their cases."""
    variants = dict.fromkeys(
        _ascii_lower(variant)
        for variant in ([term] if term.isascii() else [term, term.lower(), term.upper()])
    )
    sql = " OR ".join([f"lower({haystack}) LIKE ? ESCAPE '\\'"] * len(variants))
    return f"({sql})", [f"%{_literal(variant)}%" for variant in variants]


def _ascii_lower(term: str) -> str:
    return term.encode().lower().decode()


def _literal(term: str) -> str:
    return term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
