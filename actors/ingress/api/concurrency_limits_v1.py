"""Concurrency limits on tags: the first version of the API, as an adapter on the second.

The limit on a tag is the limit called `tag:<tag>`; leases taken here have no end, since the clients
of this API cannot renew.
Source: `prefect.server.api.concurrency_limits`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lictor.actors.ingress.api.leases import locked, taken
from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.commands import limits, slots
from lictor.schema.commands.slots import Wanted
from lictor.schema.errors import NotFound, Refused
from lictor.schema.rules.slots import TAG_PREFIX, Limit
from lictor.schema.tables import leases
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.wire.concurrency_limits import (
    LimitSearch,
    LimitTaken,
    TagLimit,
    TagLimitCreate,
    TagLimitReset,
    TagSlots,
)

_Find = Callable[[ReadTx, str], Limit | None]


class Locked(Refused):
    """423 without a time to come again: the client gives up."""

    status = 423


async def create(call: Call[TagLimitCreate]) -> Response:
    """Set the limit on a tag, made or changed."""
    services, body = call.services, call.body
    limit, is_new = await services.journal.write(
        partial(
            limits.set_for_tag, tag=body.tag, slots_max=body.concurrency_limit, mint=services.mint
        )
    )
    answer = await services.readers.read(partial(_answer, limit=limit))
    return Response(201 if is_new else 200, encode(answer))


async def read(call: Call[None]) -> TagLimit:
    """The limit on a tag, by its id."""
    return await _found(call, table.read, call.params[0])


async def read_by_tag(call: Call[None]) -> TagLimit:
    """The limit on a tag."""
    return await _found(call, table.read_by_name, TAG_PREFIX + call.params[0])


async def _found(call: Call[None], find: _Find, key: str) -> TagLimit:
    answer = await call.services.readers.read(lambda tx: _read(tx, find, key))
    if answer is None:
        raise _not_found()
    return answer


async def search(call: Call[LimitSearch]) -> list[TagLimit]:
    """A page of the limits on tags, by tag."""
    services, body = call.services, call.body
    page = partial(
        _read_page,
        limit=limit_of(body.limit, services.settings),
        offset=offset_of(body.offset),
    )
    return await services.readers.read(page)


async def reset(call: Call[TagLimitReset]) -> None:
    """End every lease on a tag; the task runs named get a slot each."""
    services = call.services
    job = partial(
        limits.reset_tag,
        tag=call.params[0],
        task_run_ids=[str(id_) for id_ in call.body.slot_override or ()],
        mint=services.mint,
    )
    if not await services.journal.write(job):
        raise _not_found()


async def delete(call: Call[None]) -> None:
    """Delete a limit, by its id, with every lease over it."""
    await _delete(call, call.params[0], None)


async def delete_by_tag(call: Call[None]) -> None:
    """Delete the limit on a tag, with every lease over it."""
    await _delete(call, None, TAG_PREFIX + call.params[0])


async def _delete(call: Call[None], id_: str | None, name: str | None) -> None:
    services = call.services
    job = partial(limits.delete_with_leases, id_=id_, name=name, mint=services.mint)
    if not await services.journal.write(job):
        raise _not_found()


async def increment(call: Call[TagSlots]) -> list[LimitTaken] | Response:
    """Take one slot on each of the tags for a task run: all or none; of those enforced, alone."""
    services, body = call.services, call.body
    named = [TAG_PREFIX + tag for tag in body.names]
    found = services.readers.inline(partial(table.read_named, names=named))
    active = {limit.name: limit for limit in found if limit.active}
    names = [name for name in dict.fromkeys(named) if name in active]
    if not names:
        return []
    for limit in active.values():
        if limit.limit <= 0:
            raise Locked(
                f'The concurrency limit on tag "{_tag(limit)}" is 0 and will deadlock if the task'
                " tries to run again."
            )
    holder = Holder("task_run", str(body.task_run_id))
    answer = await services.leases.acquire(Wanted(names, 1, holder=holder))
    if not isinstance(answer, slots.Taken):
        first = _tag(active[names[0]])
        detail = encode({"detail": f"Concurrency limit for the {first} tag has been reached"})
        return locked(answer.retry_after_s, detail)
    held = {limit.name: limit for limit in answer.limits}
    taken_of = [held[name] for name in names if name in held]
    return [LimitTaken(limit.id, _tag(limit), limit.limit) for limit in taken_of]


async def decrement(call: Call[TagSlots]) -> list[LimitTaken]:
    """End the leases that a task run has on any of the tags, each wholly."""
    services, body = call.services, call.body
    found = await services.journal.write(
        partial(
            slots.give_tags,
            holder_id=str(body.task_run_id),
            names=[TAG_PREFIX + tag for tag in body.names],
            mint=services.mint,
        )
    )
    return [taken(limit) for limit in found]


def _read(tx: ReadTx, find: _Find, key: str) -> TagLimit | None:
    limit = find(tx, key)
    return None if limit is None or not limit.name.startswith(TAG_PREFIX) else _answer(tx, limit)


def _read_page(tx: ReadTx, limit: int, offset: int) -> list[TagLimit]:
    return [_answer(tx, each) for each in table.read_tag_page(tx, limit, offset)]


def _answer(tx: ReadTx, limit: Limit) -> TagLimit:
    holders = leases.task_runs_on(tx, limit.seq)
    return TagLimit(limit.id, limit.created, limit.updated, _tag(limit), limit.limit, holders)


def _tag(limit: Limit) -> str:
    return limit.name.removeprefix(TAG_PREFIX)


def _not_found() -> NotFound:
    return NotFound("Concurrency limit not found")


_PATH = "/concurrency_limits"
_TAG = f"{_PATH}/tag/{{tag:str}}"

OPERATIONS = (
    Operation("POST", f"{_PATH}/", create, body=TagLimitCreate, result=TagLimit, status=201),
    Operation("GET", f"{_PATH}/{{id}}", read, result=TagLimit),
    Operation("GET", _TAG, read_by_tag, result=TagLimit),
    Operation(
        "POST", f"{_PATH}/filter", search, body=LimitSearch, result=list[TagLimit],
        optional_body=True,
    ),
    Operation("POST", f"{_TAG}/reset", reset, body=TagLimitReset, optional_body=True),
    Operation("DELETE", f"{_PATH}/{{id}}", delete),
    Operation("DELETE", _TAG, delete_by_tag),
    Operation(
        "POST", f"{_PATH}/increment", increment, body=TagSlots, result=list[LimitTaken],
        optional_body=True,
    ),
    Operation(
        "POST", f"{_PATH}/decrement", decrement, body=TagSlots, result=list[LimitTaken],
        optional_body=True,
    ),
)  # fmt: skip
