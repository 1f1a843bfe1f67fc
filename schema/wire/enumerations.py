"""The closed sets of words that are enumerations to Prefect, each in the order it names them in.

A refused word is answered with the words that would have been right; other sets are literals, whose
errors have another type. msgspec keeps the values of a `Literal` sorted, so the order stands here.
Source: the `AutoEnum` classes of `prefect.server.schemas` and `prefect.server.events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_IN_ORDER = (
    ("and_", "or_"),
    ("CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC"),
    (
        "ID_DESC",
        "START_TIME_ASC",
        "START_TIME_DESC",
        "EXPECTED_START_TIME_ASC",
        "EXPECTED_START_TIME_DESC",
        "NAME_ASC",
        "NAME_DESC",
        "NEXT_SCHEDULED_START_TIME_ASC",
        "END_TIME_DESC",
    ),
    (
        "ID_DESC",
        "EXPECTED_START_TIME_ASC",
        "EXPECTED_START_TIME_DESC",
        "NAME_ASC",
        "NAME_DESC",
        "NEXT_SCHEDULED_START_TIME_ASC",
        "END_TIME_DESC",
        "DURATION_DESC",
        "DURATION_ASC",
    ),
    ("TIMESTAMP_ASC", "TIMESTAMP_DESC"),
    (
        "SCHEDULED",
        "PENDING",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "CRASHED",
        "PAUSED",
        "CANCELLING",
    ),
    ("ASC", "DESC"),
    ("day", "time", "event", "resource"),
    ("week", "day", "hour", "minute", "second"),
    ("ENQUEUE", "CANCEL_NEW"),
    ("NAME_ASC", "LAST_SEEN_DESC"),
    ("ONLINE", "OFFLINE"),
)

ENUMERATIONS: Final[Mapping[frozenset[object], tuple[str, ...]]] = {
    frozenset(words): words for words in _IN_ORDER
}
"""Each enumeration by the set of its words."""
