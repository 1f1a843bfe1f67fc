"""What an event is: as clients send it, as lictor keeps it, and as it is handed round once stored.

Source: `prefect.server.events.schemas.events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from lictor.schema import times
from lictor.schema.errors import FieldError
from lictor.schema.times import Timestamp

RESOURCE_ID = "prefect.resource.id"
RESOURCE_ROLE = "prefect.resource.role"
RESOURCE_NAME = "prefect.resource.name"
RELATED_PREFIX = "related:"

Resource = dict[str, str]
"""Labels of a resource, its id and (related ones) its role among them."""

encode = msgspec.json.Encoder().encode


class Event(msgspec.Struct):
    """An event as answers and sockets carry it; ids and moments are canonical text.

    `received` is the server's clock at its arrival. Treated as unchangeable once built.
    """

    occurred: Timestamp
    event: str
    resource: Resource
    related: list[Resource]
    payload: dict[str, Any]
    id: str
    follows: str | None
    received: Timestamp

    @property
    def resource_id(self) -> str:
        return self.resource[RESOURCE_ID]

    @property
    def resource_name(self) -> str | None:
        return self.resource.get(RESOURCE_NAME)

    @property
    def involved_resources(self) -> Iterator[Resource]:
        """The primary resource, then the related ones in order."""
        yield self.resource
        yield from self.related

    def in_role(self, role: str) -> Resource | None:
        """The first related resource in `role`."""
        for resource in self.related:
            if resource[RESOURCE_ROLE] == role:
                return resource
        return None

    def find_resource_label(self, label: str) -> str | None:
        """A label of the primary resource; `related:<role>:<label>` reads it from the first
        related resource in that role.
        """
        if label.startswith(RELATED_PREFIX):
            role, _, related_label = label.removeprefix(RELATED_PREFIX).partition(":")
            resource = self.in_role(role)
            if resource is not None and related_label in resource:
                return resource[related_label]
            return None
        return self.resource.get(label)


class StoredEvent:
    """An event that has been stored for the first time: what jobs publish after their commit.

    `seq` is its place in commit order. `json` is the text of the event, built at most once however
    many readers it has; it is touched on the loop only.
    """

    __slots__ = ("_json", "event", "seq")

    def __init__(self, seq: int, event: Event) -> None:
        self.seq = seq
        self.event = event
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = encode(self.event)
        return self._json


class EventBody(msgspec.Struct):
    """An event of a client, decoded but not yet checked. Unknown keys are ignored."""

    occurred: datetime
    event: str
    resource: Resource
    id: UUID
    related: list[Resource] = msgspec.field(default_factory=list)
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    follows: UUID | None = None


class Limits(msgspec.Struct, frozen=True):
    """How large an event of a client may be."""

    bytes_max: int = 1_500_000
    name_length_max: int = 1024
    labels_max: int = 500
    related_max: int = 100


def fault(body: EventBody, limits: Limits) -> FieldError | None:
    """The first rule `body` breaks, its place relative to the event; None when it breaks none."""
    name, related = body.event, body.related
    if len(name) > limits.name_length_max:
        most = limits.name_length_max
        return _fault(("event",), f"an event's name has at most {most} characters", name)
    if (complaint := _of_labels(body.resource, limits)) is not None:
        return _fault(("resource",), complaint, body.resource)
    if len(related) > limits.related_max:
        most = limits.related_max
        return _fault(("related",), f"at most {most} related resources are allowed", related)
    for index, resource in enumerate(related):
        complaint = _of_labels(resource, limits)
        if complaint is None and not resource.get(RESOURCE_ROLE):
            complaint = f"a related resource needs the label {RESOURCE_ROLE}"
        if complaint is not None:
            return _fault(("related", index), complaint, resource)
    return None


def _of_labels(resource: Resource, limits: Limits) -> str | None:
    """The rule the labels of `resource` break."""
    if len(resource) > limits.labels_max:
        return f"at most {limits.labels_max} labels are allowed on a resource"
    if not resource.get(RESOURCE_ID):
        return f"a resource needs the label {RESOURCE_ID}"
    return None


def _fault(place: tuple[str | int, ...], message: str, input_: Any) -> FieldError:
    return FieldError("value_error", place, f"Value error, {message}", input_, {"error": {}})


def from_body(body: EventBody, received: Timestamp) -> Event:
    """The event of a checked `body`.

    Raises:
        OverflowError: `occurred` is not a moment of the years 1 to 9999 in UTC.
    """
    return Event(
        times.text(body.occurred),
        body.event,
        body.resource,
        body.related,
        body.payload,
        str(body.id),
        None if body.follows is None else str(body.follows),
        received,
    )
