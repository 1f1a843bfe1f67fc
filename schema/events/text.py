"""The text query of event and log filters: words and phrases to include, exclude or require.

White space separates words; `"a phrase"` keeps it (an unclosed one runs to the end), with `\\"` and
`\\\\` as escapes. `-` or `!` directly in front excludes, `+` requires; in front of white space they
mean nothing. Matching is by substring and ignores case: one of the included terms if there are any,
none of the excluded, all of the required. A query of white space restricts nothing.
Source: `prefect.server.utilities.text_search_parser`.
"""

from __future__ import annotations

import re

import msgspec

QUERY_LENGTH_MAX = 200

_TOKEN = re.compile(
    r"""(?P<sign>[-!+]?)                      # a sign counts only if something is attached to it
        (?:"(?P<phrase>(?:\\.|[^"\\]|\\\Z)*)"? # a phrase, perhaps unclosed
        |(?P<word>[^\s"]+))""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\])')


class TextQuery(msgspec.Struct, frozen=True):
    """A parsed query; every term in lower case."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it restricts nothing."""
        return not (self.include or self.exclude or self.required)

    def matches(self, haystack: str) -> bool:
        """Whether `haystack`, in lower case already, satisfies the query."""
        if self.include and not any(term in haystack for term in self.include):
            return False
        if any(term in haystack for term in self.exclude):
            return False
        return all(term in haystack for term in self.required)


def parse(query: str) -> TextQuery:
    """The terms of `query`."""
    terms: dict[str, list[str]] = {"": [], "-": [], "!": [], "+": []}
    place = 0
    while place < len(query):
        if query[place].isspace():
            place += 1
            continue
        if query[place] in "-!+" and (place + 1 == len(query) or query[place + 1].isspace()):
            place += 1
            continue
        token = _TOKEN.match(query, place)
        assert token is not None, "every character that is not space starts a token"
        place = token.end()
        term = token["word"]
        if term is None:
            term = _ESCAPE.sub(r"\1", token["phrase"])
        if term.strip():
            terms[token["sign"]].append(term.lower())
    return TextQuery(tuple(terms[""]), tuple(terms["-"] + terms["!"]), tuple(terms["+"]))
