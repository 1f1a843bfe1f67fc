"""Time zones: which names there are, when their clocks are changed, which moment a wall time means.

Walls are naive datetimes, as clocks on the wall show them; moments are aware and in UTC. A gap is
the hour that is skipped in spring, a fold the hour that is lived twice in autumn.
Source: `prefect.types._datetime.get_timezones`, PEP 495, PEP 615.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

PROBE_EVERY = timedelta(days=3)
"""No zone has ever changed its offset and changed it back within less (Freetown, 1939: 4 days)."""

FIRST_YEAR = 1800
"""Before it no zone has a change of offset on record."""

DAY = timedelta(days=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_NOT_ZONES = ("posix/", "right/", "posixrules", "localtime")


class Change(NamedTuple):
    """At the moment `at` the offset from UTC turns from `before` into `after`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def gap(self) -> timedelta:
        """How much wall time is skipped; negative: how much is repeated."""
        return self.after - self.before


def zone(name: str | None) -> ZoneInfo:
    """The zone of an IANA name; null and the empty text mean UTC.

    Raises:
        ValueError: there is no zone of that name.
    """
    if not name:
        return ZoneInfo("UTC")
    if name.startswith(_NOT_ZONES):
        raise ValueError(_unknown(name))
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not a key, a folder, nothing of that name
        raise ValueError(_unknown(name)) from None


def _unknown(name: str) -> str:
    return f'Invalid timezone: "{name}" (it must be an IANA name such as America/New_York)'


def changes(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[Change]:
    """The changes of offset later than `after` and not later than `until`, in order."""
    for year in range(max(after.year, FIRST_YEAR), until.year + 1):
        for change in _changes_of(zone.key, year):
            if after < change.at <= until:
                yield change


@lru_cache(maxsize=2048)
def _changes_of(name: str, year: int) -> tuple[Change, ...]:
    """The changes of a calendar year (UTC). zoneinfo does not list them, so they are searched."""
    clock = ZoneInfo(name)
    found: list[Change] = []
    low = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC) if year < _LAST.year else _LAST - DAY
    before = _offset(low, clock)
    while low < end:
        high = low + min(PROBE_EVERY, end - low)
        after = _offset(high, clock)
        if after != before:
            found.append(Change(_search(low, high, clock), before, after))
        low, before = high, after
    return tuple(found)


def _search(low: datetime, high: datetime, clock: ZoneInfo) -> datetime:
    """The first second of the new offset, between a moment of the old and one of the new."""
    old = _offset(low, clock)
    seconds = int((high - low).total_seconds())
    first, last = 0, seconds
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(low + timedelta(seconds=middle), clock) == old:
            first = middle
        else:
            last = middle
    return low + timedelta(seconds=last)


def _offset(moment: datetime, clock: ZoneInfo) -> timedelta:
    offset = moment.astimezone(clock).utcoffset()
    assert offset is not None
    return offset


def is_changed_near(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether the offset changes so near that an earlier wall time may mean a later moment."""
    around = 2 * DAY
    return any(True for _ in changes(zone, moment - around, min(moment, _LAST - around) + around))


def wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of the zone show at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def later(shown: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a wall time: in a fold the first, in a gap moved forward by the gap."""
    return shown.replace(tzinfo=zone, fold=0).astimezone(UTC)


def earlier(shown: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a wall time: in a fold the first, in a gap moved back by the gap."""
    moment = later(shown, zone)
    if wall(moment, zone) == shown:
        return moment
    return shown.replace(tzinfo=zone, fold=1).astimezone(UTC)


def moments_forward(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """The moments of ascending wall times, ascending; gaps as `later` has it.

    Times moved out of a gap fall among those that follow it, so they wait for their turn: at most
    as many as fit into one gap.
    """
    waiting: list[datetime] = []
    for shown in walls:
        moment = floor = later(shown, zone)
        if wall(moment, zone) != shown:
            change = _change_around(moment, zone)
            floor = change.at if change is not None else moment
        yield from _ripe(waiting, moment, floor)
    yield from _drained(waiting)


def moments_back(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """The moments of ascending wall times, ascending; gaps as `earlier` has it.

    The last times before a gap wait until those inside it are known.
    """
    waiting: list[datetime] = []
    for shown in walls:
        moment = floor = earlier(shown, zone)
        change = _change_around(moment, zone)
        if change is not None and moment < change.at:
            floor = min(moment, change.at - change.gap)
        yield from _ripe(waiting, moment, floor)
    yield from _drained(waiting)


def _change_around(moment: datetime, zone: ZoneInfo) -> Change | None:
    """The gap that lies less than its own length before or after `moment`."""
    for change in changes(zone, moment - DAY, min(moment, _LAST - DAY) + DAY):
        if abs(moment - change.at) <= change.gap:
            return change
    return None


def _ripe(waiting: list[datetime], moment: datetime, floor: datetime) -> Iterator[datetime]:
    """Add a moment, and give what cannot be preceded by later ones: those up to `floor`."""
    if not waiting and moment <= floor:
        yield moment
        return
    heapq.heappush(waiting, moment)
    while waiting and waiting[0] <= floor:
        yield heapq.heappop(waiting)


def _drained(waiting: list[datetime]) -> Iterator[datetime]:
    while waiting:
        yield heapq.heappop(waiting)
