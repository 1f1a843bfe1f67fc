"""Events: record, search, page on, count. Source: `prefect.server.api.events`."""

from __future__ import annotations

import base64
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lictor.actors.ingress.http import Request, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema import times
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import FieldError, Forbidden, InvalidRequest
from lictor.schema.events.event import Event, EventBody, Limits, fault, from_body
from lictor.schema.events.filters import EventFilter, Interval, interval
from lictor.schema.tables import event_counts
from lictor.schema.tables.event_counts import Countable, EventCount, TimeUnit
from lictor.schema.tables.event_search import Cursor, read_page
from lictor.schema.wire.decode import parameter, query

PAGE_LIMIT = 50


class EventSearch(msgspec.Struct):
    """Body of `POST /events/filter`."""

    filter: EventFilter | None = None
    limit: Annotated[int, Meta(ge=0, le=PAGE_LIMIT)] = PAGE_LIMIT


class CountQuery(msgspec.Struct):
    """Body of `POST /events/count-by/{countable}`."""

    filter: EventFilter
    time_unit: TimeUnit = "day"
    time_interval: Annotated[float, Meta(ge=0.01, le=1e6)] = 1.0


class EventPage(msgspec.Struct):
    """A page of events, and the address of the next one."""

    events: list[Event]
    total: int
    next_page: str | None


class _Token(msgspec.Struct, array_like=True):
    """What a `page-token` holds. `seen`: the events of the pages so far."""

    filter: EventFilter
    since: datetime
    until: datetime
    limit: Annotated[int, Meta(ge=0, le=PAGE_LIMIT)]
    total: int
    seen: int
    cursor: Cursor | None


_Countable: Any = Countable
_decode_token = msgspec.json.Decoder(_Token).decode


async def create(call: Call[list[EventBody]]) -> None:
    """Record events; those whose ids are known already change nothing."""
    hub, received = call.services.hub, call.services.mint.now()
    events = _checked(call.body, hub.limits, received)
    size_bytes = len(call.request.body)
    if size_bytes > hub.limits.bytes_max:
        # (Only then can one of them be too large. Source: such events are dropped silently.)
        events = [event for event in events if len(encode(event)) <= hub.limits.bytes_max]
    await hub.accept(events, size_bytes)


def _checked(bodies: list[EventBody], limits: Limits, received: times.Timestamp) -> list[Event]:
    errors: list[FieldError] = []
    events: list[Event] = []
    for index, body in enumerate(bodies):
        place = ("body", index)
        broken = fault(body, limits)
        if broken is not None:
            errors.append(msgspec.structs.replace(broken, loc=(*place, *broken.loc)))
            continue
        try:
            events.append(from_body(body, received))
        except OverflowError:
            message = "The moment is outside the years 1 to 9999"
            errors.append(FieldError("datetime_parsing", (*place, "occurred"), message))
    if errors:
        raise InvalidRequest(errors, bodies)
    return events


async def search(call: Call[EventSearch]) -> EventPage:
    """The first page of the events that match, and their number."""
    filter_ = call.body.filter or EventFilter()
    times_ = interval(filter_, call.services.mint.now())
    return await _page(call, filter_, times_, call.body.limit, None, None, 0)


async def search_on(call: Call[None]) -> EventPage:
    """The next page of a search."""
    text = query(call, "page-token", str)
    try:
        token = _decode_token(base64.b64decode(text, altchars=b"-_", validate=True))
        times_ = Interval(times.text(token.since), times.text(token.until))
    except (ValueError, OverflowError, RecursionError):
        raise Forbidden("Forbidden") from None
    return await _page(
        call, token.filter, times_, token.limit, token.cursor, token.total, token.seen
    )


async def _page(
    call: Call[EventSearch] | Call[None],
    filter_: EventFilter,
    times_: Interval,
    limit: int,
    cursor: Cursor | None,
    total: int | None,
    seen: int,
) -> EventPage:
    page = await call.services.readers.read(
        partial(read_page, filter_=filter_, times_=times_, limit=limit, cursor=cursor, total=total)
    )
    seen += len(page.events)
    is_last = seen >= page.total or (limit > 0 and len(page.events) < limit)
    next_page = None
    if not is_last:
        token = _Token(
            filter_,
            times.parse(times_.since),
            times.parse(times_.until),
            limit,
            page.total,
            seen,
            page.cursor,
        )
        next_page = _next_address(call.request, token)
    return EventPage(page.events, page.total, next_page)


def _next_address(request: Request, token: _Token) -> str:
    """The absolute address of the next page, at the host that the request asked.

    Source: the path below the host is fixed, whatever prefix the API has.
    """
    host = (request.header(b"host") or b"localhost").decode("latin-1")
    text = base64.urlsafe_b64encode(encode(token)).decode()
    return f"{request.scheme}://{host}/api/events/filter/next?page-token={text}"


async def count_by(call: Call[CountQuery]) -> list[EventCount]:
    """Counts of the events that match, by name, resource or time."""
    body, now = call.body, call.services.mint.now()
    what: Countable = parameter(("path", "countable"), _Countable, call.params[0])
    times_ = interval(body.filter, now)
    event_counts.check_buckets(times_, body.time_unit, body.time_interval)
    return await call.services.readers.read(
        partial(_counts, what=what, body=body, times_=times_, now=now)
    )


def _counts(
    tx: ReadTx, what: Countable, body: CountQuery, times_: Interval, now: times.Timestamp
) -> list[EventCount]:
    if what == "event":
        return event_counts.by_event(tx, body.filter, times_)
    if what == "resource":
        return event_counts.by_resource(tx, body.filter, times_)
    if what == "day":
        return event_counts.by_time(tx, body.filter, times_, "day", 1.0, now)
    return event_counts.by_time(tx, body.filter, times_, body.time_unit, body.time_interval, now)


OPERATIONS = (
    Operation("POST", "/events", create, body=list[EventBody], status=204, summary="Record events"),
    Operation(
        "POST",
        "/events/filter",
        search,
        body=EventSearch,
        result=EventPage,
        optional_body=True,
        summary="Search events",
    ),
    Operation(
        "GET",
        "/events/filter/next",
        search_on,
        result=EventPage,
        query=("page-token",),
        summary="Read the next page of a search for events",
    ),
    Operation(
        "POST",
        "/events/count-by/{countable:str}",
        count_by,
        body=CountQuery,
        result=list[EventCount],
        optional_body=True,
        summary="Count events by name, resource or time",
    ),
)
