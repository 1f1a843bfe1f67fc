"""What every oracle raises."""

from __future__ import annotations


class Wrong(AssertionError):
    """The history breaks a promise."""
