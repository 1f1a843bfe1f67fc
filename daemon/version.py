"""Which lictor this is. A constant, because asking the installed metadata costs 30 ms of start."""

from __future__ import annotations

VERSION = "0.1.0"
"""As in pyproject.toml; a test compares them."""


def version() -> str:
    """The version of this program."""
    return VERSION
