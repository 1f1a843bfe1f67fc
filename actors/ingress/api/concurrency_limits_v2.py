"""Global concurrency limits: create, read, change, delete.

Source: `prefect.server.api.concurrency_limits_v2`. Their slots are in `leases.py`.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import limits
from lictor.schema.errors import NotFound
from lictor.schema.rules.slots import Limit, whole
from lictor.schema.tables import limits as table
from lictor.schema.times import epoch_s
from lictor.schema.wire.concurrency_limits import (
    LimitAnswer,
    LimitCreate,
    LimitCreated,
    LimitSearch,
    LimitUpdate,
)


async def create(call: Call[LimitCreate]) -> LimitCreated:
    """Create a limit; a name that is taken is a conflict."""
    services, body = call.services, call.body
    limit = await services.journal.write(partial(limits.create, body=body, mint=services.mint))
    return LimitCreated(
        limit.id, limit.created, limit.updated, limit.active, limit.name, limit.limit,
        body.active_slots, body.denied_slots, limit.decay_per_s, limit.occupancy_s,
    )  # fmt: skip


async def read(call: Call[None]) -> LimitAnswer:
    """One limit, by its id or its name."""
    services = call.services
    id_, name = id_or_name(call.params[0])
    limit = services.readers.inline(partial(limits.find, id_=id_, name=name))
    if limit is None:
        raise _not_found()
    return _answer(limit, epoch_s(services.mint.now()))


async def search(call: Call[LimitSearch]) -> list[LimitAnswer]:
    """A page of limits, by name."""
    services, body = call.services, call.body
    page = partial(
        table.read_page,
        limit=limit_of(body.limit, services.settings),
        offset=offset_of(body.offset),
    )
    now_at = epoch_s(services.mint.now())
    return [_answer(limit, now_at) for limit in await services.readers.read(page)]


async def update(call: Call[LimitUpdate]) -> None:
    """Write the fields that are in the body."""
    services = call.services
    id_, name = id_or_name(call.params[0])
    job = partial(limits.update, id_=id_, name=name, body=call.body, mint=services.mint)
    if not await services.journal.write(job):
        raise _not_found()


async def delete(call: Call[None]) -> None:
    """Delete a limit; leases over it stay with their holders."""
    services = call.services
    id_, name = id_or_name(call.params[0])
    job = partial(limits.delete, id_=id_, name=name, mint=services.mint)
    if not await services.journal.write(job):
        raise _not_found()


def id_or_name(text: str) -> tuple[str | None, str | None]:
    """What a path's last segment means: whatever reads as a UUID is an id."""
    try:
        return str(UUID(text)), None
    except ValueError:
        return None, text


def _not_found() -> NotFound:
    return NotFound("Concurrency Limit not found")


def _answer(limit: Limit, now_at: float) -> LimitAnswer:
    return LimitAnswer(
        limit.id, limit.created, limit.updated, limit.active, limit.name, limit.limit,
        whole(limit.occupied(now_at)), limit.decay_per_s,
    )  # fmt: skip


_PATH = "/v2/concurrency_limits"
_ONE = f"{_PATH}/{{id_or_name:str}}"

OPERATIONS = (
    Operation("POST", f"{_PATH}/", create, body=LimitCreate, result=LimitCreated, status=201),
    Operation("GET", _ONE, read, result=LimitAnswer),
    Operation(
        "POST", f"{_PATH}/filter", search, body=LimitSearch, result=list[LimitAnswer],
        optional_body=True,
    ),
    Operation("PATCH", _ONE, update, body=LimitUpdate, status=204),
    Operation("DELETE", _ONE, delete, status=204),
)  # fmt: skip
