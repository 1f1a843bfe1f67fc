"""Exit codes of the `lictor` command, and the error that carries one. Source: sysexits.h."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process leaves behind for systemd and for scripts; docs/operations.md lists them."""

    OK = 0
    NO_ANSWER = 1
    """The server that was asked cannot be reached, or does not know what it was asked for."""
    USAGE = 2
    """The command line itself is wrong."""
    DATABASE = 65
    """The database is not lictor's, damaged, or from a newer lictor."""
    PORT = 69
    """The address cannot be listened on: taken, not this machine's, or not permitted."""
    BUG = 70
    """A core actor failed: a fault of lictor. State is on disk; starting again is safe."""
    HOME = 73
    """The home cannot be made, read or written."""
    HOME_IN_USE = 75
    """Another lictor runs in this home."""
    CONFIGURATION = 78
    """A setting is unknown, unreadable or out of range, or the home is Prefect's."""


class CannotStart(Exception):
    """The process must end before it serves; the text is one line that says what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code
