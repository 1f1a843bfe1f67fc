"""The one function through which every actor reports what it did.

Names are `lictor.<actor>.<noun>.<verb>`; fields are ids and numbers, never user payloads. The
stream is a stdlib logger of its own at level debug: logs show it there, metrics and tests attach a
handler. With the level off a report costs one look-up.
"""

from __future__ import annotations

import logging

STREAM = "lictor.observe"
_stream = logging.getLogger(STREAM)


def observe(name: str, **fields: str | int | float | bool | None) -> None:
    """Report that `name` happened; durations are seconds, in fields that end in `_s`."""
    if _stream.isEnabledFor(logging.DEBUG):
        _stream.debug(name, extra={"fields": fields})
