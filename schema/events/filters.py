"""The filter grammar of events, and its compilation to a predicate.

There is one meaning for stored and for live events, the predicate of `compile_filter`: the SQL of
`schema/tables/event_search.py` only narrows what is put before it. Matching is case-sensitive;
prefixes are literal; label values are globs (`*`, `?`, `[seq]`, a leading `!` negates).
Source: `prefect.server.events.filters`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from lictor.schema import times
from lictor.schema.events.event import RESOURCE_ID, RESOURCE_ROLE, Event, Resource, encode
from lictor.schema.filters.text_query import QUERY_LENGTH_MAX, Matcher, TextQuery, parse
from lictor.schema.times import Timestamp

F = TypeVar("F")

DEFAULT_LOOK_BACK = timedelta(days=180)

Labels = dict[str, str | list[str]]
"""Label name to one glob or several. Labels are ANDed, the globs of one label ORed."""
Predicate = Callable[[Event], bool]
ResourceTest = Callable[[Resource], bool]


class OccurredFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Both ends are inclusive. Absent: from 180 days before today until the filter was read."""

    since: datetime | UnsetType = UNSET
    until: datetime | UnsetType = UNSET


class NameFilter(msgspec.Struct, forbid_unknown_fields=True):
    """By the event's name. Everything given must hold; an empty list restricts nothing."""

    prefix: list[str] | None = None
    exclude_prefix: list[str] | None = None
    name: list[str] | None = None
    exclude_name: list[str] | None = None


class ResourceFilter(msgspec.Struct, forbid_unknown_fields=True):
    """By the primary resource. `distinct`: only the first event of each, in the order asked for."""

    id: list[str] | None = None
    id_prefix: list[str] | None = None
    labels: Labels | None = None
    distinct: bool = False


class RelatedFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Some single related resource satisfies everything given."""

    id: list[str] | None = None
    role: list[str] | None = None
    resources_in_roles: list[tuple[str, str]] | None = None
    labels: Labels | None = None


class AnyResourceFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Some single resource, primary or related, satisfies everything given."""

    id: list[str] | None = None
    id_prefix: list[str] | None = None
    labels: Labels | None = None


class IdFilter(msgspec.Struct, forbid_unknown_fields=True):
    id: list[UUID] | None = None


class TextFilter(msgspec.Struct, forbid_unknown_fields=True):
    query: Annotated[str, msgspec.Meta(max_length=QUERY_LENGTH_MAX)]


class EventFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Everything given must hold. Lists of filters are ANDed, each by a resource of its own."""

    occurred: OccurredFilter = msgspec.field(default_factory=OccurredFilter)
    event: NameFilter | None = None
    resource: ResourceFilter | None = None
    related: RelatedFilter | list[RelatedFilter] | None = None
    any_resource: AnyResourceFilter | list[AnyResourceFilter] | None = None
    id: IdFilter | None = None
    text: TextFilter | None = None
    order: Literal["ASC", "DESC"] = "DESC"

    def related_filters(self) -> list[RelatedFilter]:
        return _listed(self.related)

    def any_resource_filters(self) -> list[AnyResourceFilter]:
        return _listed(self.any_resource)


def _listed(value: F | list[F] | None) -> list[F]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class Interval(msgspec.Struct, frozen=True):
    """Moments from `since` to `until`, both inclusive."""

    since: Timestamp
    until: Timestamp


def interval(filter_: EventFilter, now: Timestamp) -> Interval:
    """The times a filter that was read at `now` asks for."""
    occurred = filter_.occurred
    if occurred.since is UNSET:
        midnight = times.parse(now).replace(hour=0, minute=0, second=0, microsecond=0)
        since = times.text(midnight - DEFAULT_LOOK_BACK)
    else:
        since = _clamped(occurred.since)
    return Interval(since, now if occurred.until is UNSET else _clamped(occurred.until))


def _clamped(moment: datetime) -> Timestamp:
    """The canonical text; what time zones push out of the calendar is its first or last moment."""
    try:
        return times.text(moment)
    except OverflowError:
        edge = datetime.min if moment.year == 1 else datetime.max
        return times.text(edge.replace(tzinfo=UTC))


class CompiledFilter:
    """A filter ready to be asked many times.

    `names`: the only event names that can match, None when any may. `matches` decides everything
    but `resource.distinct` and `order`.
    """

    __slots__ = ("interval", "matches", "names")

    def __init__(
        self, matches: Predicate, names: frozenset[str] | None, interval: Interval
    ) -> None:
        self.matches = matches
        self.names = names
        self.interval = interval


def compile_filter(filter_: EventFilter, times_: Interval) -> CompiledFilter:
    """The predicate of `filter_` over `times_` (see `interval`)."""
    tests: list[Predicate] = [_occurred(times_)]
    names: frozenset[str] | None = None
    if filter_.event is not None:
        if filter_.event.name:
            names = frozenset(filter_.event.name)
        tests += _name_tests(filter_.event)
    if (resource := filter_.resource) is not None:
        primary = _resource_test(resource.id, resource.id_prefix, resource.labels)
        if primary is not None:
            tests.append(_primary(primary))
    for related in filter_.related_filters():
        if (related_test := _related_test(related)) is not None:
            tests.append(_some_related(related_test))
    for involved in filter_.any_resource_filters():
        test = _resource_test(involved.id, involved.id_prefix, involved.labels, has_role=True)
        if test is not None:
            tests.append(_some_involved(test))
    if filter_.id is not None and filter_.id.id:
        tests.append(_ids(frozenset(str(id_) for id_ in filter_.id.id)))
    if filter_.text is not None:
        query = parse(filter_.text.query)
        if query != TextQuery():
            matcher = Matcher(query)
            tests.append(lambda event: matcher.matches(haystack(event)))
    return CompiledFilter(_all(tests), names, times_)


def haystack(event: Event) -> str:
    """What text queries search: name, resources and payload, as JSON text."""
    searched = (event.event, event.resource, event.related, event.payload)
    return encode(searched).decode()


def _all(tests: list[Predicate]) -> Predicate:
    """The conjunction of `tests`, without a loop for the usual one, two or three."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda event: first(event) and second(event)
    first, second, *rest = tests
    remaining = _all(rest)
    return lambda event: first(event) and second(event) and remaining(event)


def _occurred(times_: Interval) -> Predicate:
    since, until = times_.since, times_.until
    return lambda event: since <= event.occurred <= until


def _name_tests(filter_: NameFilter) -> list[Predicate]:
    tests: list[Predicate] = []
    if filter_.name:
        tests.append(_name_in(frozenset(filter_.name)))
    if filter_.exclude_name:
        tests.append(_not(_name_in(frozenset(filter_.exclude_name))))
    if filter_.prefix:
        tests.append(_name_starts(tuple(filter_.prefix)))
    if filter_.exclude_prefix:
        tests.append(_not(_name_starts(tuple(filter_.exclude_prefix))))
    return tests


def _name_in(names: frozenset[str]) -> Predicate:
    return lambda event: event.event in names


def _name_starts(prefixes: tuple[str, ...]) -> Predicate:
    return lambda event: event.event.startswith(prefixes)


def _not(test: Predicate) -> Predicate:
    return lambda event: not test(event)


def _ids(ids: frozenset[str]) -> Predicate:
    return lambda event: event.id in ids


def _primary(test: ResourceTest) -> Predicate:
    return lambda event: test(event.resource)


def _some_related(test: ResourceTest) -> Predicate:
    return lambda event: any(map(test, event.related))


def _some_involved(test: ResourceTest) -> Predicate:
    return lambda event: test(event.resource) or any(map(test, event.related))


def _resource_test(
    ids: list[str] | None,
    prefixes: list[str] | None,
    labels: Labels | None,
    *,
    has_role: bool = False,
) -> ResourceTest | None:
    """What one resource must be; None when nothing is asked. `has_role`: roles are exact."""
    tests: list[ResourceTest] = []
    if ids:
        tests.append(_label_in(RESOURCE_ID, frozenset(ids)))
    if prefixes:
        tests.append(_id_starts(tuple(prefixes)))
    if labels:
        tests += _label_tests(labels, has_role)
    return _every(tests) if tests else None


def _related_test(filter_: RelatedFilter) -> ResourceTest | None:
    tests: list[ResourceTest] = []
    if filter_.id:
        tests.append(_label_in(RESOURCE_ID, frozenset(filter_.id)))
    if filter_.role:
        tests.append(_label_in(RESOURCE_ROLE, frozenset(filter_.role)))
    if filter_.resources_in_roles:
        tests.append(_pair_in(frozenset(filter_.resources_in_roles)))
    if filter_.labels:
        tests += _label_tests(filter_.labels, has_role=True)
    return _every(tests) if tests else None


def _label_in(label: str, values: frozenset[str]) -> ResourceTest:
    return lambda resource: resource.get(label) in values


def _id_starts(prefixes: tuple[str, ...]) -> ResourceTest:
    return lambda resource: resource[RESOURCE_ID].startswith(prefixes)


def _pair_in(pairs: frozenset[tuple[str, str]]) -> ResourceTest:
    return lambda resource: (resource[RESOURCE_ID], resource[RESOURCE_ROLE]) in pairs


def _every(tests: list[ResourceTest]) -> ResourceTest:
    if len(tests) == 1:
        return tests[0]
    return lambda resource: all(test(resource) for test in tests)


def _label_tests(labels: Labels, has_role: bool) -> list[ResourceTest]:
    """One test for each label; a missing label never matches, an empty list matches nothing."""
    tests: list[ResourceTest] = []
    for label, given in labels.items():
        values = [given] if isinstance(given, str) else given
        if has_role and label == RESOURCE_ROLE:
            tests.append(_label_in(label, frozenset(values)))
        else:
            tests.append(_label_like(label, [glob(value) for value in values]))
    return tests


def _label_like(label: str, globs: list[Callable[[str], bool]]) -> ResourceTest:
    def test(resource: Resource) -> bool:
        value = resource.get(label)
        return value is not None and any(like(value) for like in globs)

    return test


def glob(pattern: str) -> Callable[[str], bool]:
    """Whether a text is like `pattern`: `*` any run, `?` one character, a leading `!` negates."""
    is_negated = pattern.startswith("!")
    match = re.compile(translate(pattern.removeprefix("!"))).match
    if is_negated:
        return lambda value: match(value) is None
    return lambda value: match(value) is not None
