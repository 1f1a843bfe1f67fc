"""What the hello and the heartbeats of a worker's channel do in the database.

Source: `prefect.server.api.workers._build_worker_ready_frame`,
`prefect.server.utilities.worker_channel`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import work_pools, workers
from lictor.schema.errors import Refused
from lictor.schema.mint import Mint
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.times import Timestamp
from lictor.schema.wire.work_pools import WorkPoolCreate, WorkPoolUpdate
from lictor.schema.wire.worker_channel import CloseReason, Hello, ResolvedQueue
from lictor.schema.wire.workers import Heartbeat

Template = dict[str, Any]


class ChannelRefused(Exception):
    """The channel ends; `reason` says why to the worker."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason)
        self.reason: CloseReason = reason


class Admission(NamedTuple):
    """The pool a worker connects to, and the queues of it that it serves."""

    work_pool_id: str
    queues: list[ResolvedQueue]


def wanted_template(tx: ReadTx, name: str, hello: Hello) -> Template:
    """The template that `admit` would store; `{}` if the pool needs none."""
    pool = pool_table.read_by_name(tx, name)
    if pool is not None and msgspec.json.decode(pool.base_job_template):
        return {}
    return hello.default_base_job_template


def admit(
    tx: Tx, name: str, hello: Hello, template: Template, mint: Mint, settings: Settings
) -> Admission:
    """Let a worker in, with a first heartbeat; its pool is made or completed if need be.

    `template`: what to store in a pool that has no template, checked by the caller.

    Raises:
        ChannelRefused: there is no such pool, or a queue that it is to serve is not in it.
        Refused: the pool is not to be changed so.
        msgspec.ValidationError: no pool can have this name or template.
    """
    pool = pool_table.read_by_name(tx, name)
    if pool is None:
        if not hello.create_pool_if_not_found or work_pools.is_reserved(name):
            raise ChannelRefused("authorization_failed")
        made = {"name": name, "type": hello.worker_type, "base_job_template": template}
        pool = work_pools.create(tx, msgspec.convert(made, WorkPoolCreate), mint)
    elif template and not msgspec.json.decode(pool.base_job_template):
        changed = msgspec.convert({"base_job_template": template}, WorkPoolUpdate)
        work_pools.update(tx, name, changed, mint)
    queues = _resolve(tx, pool.id, hello.work_queue_names)
    _beat(tx, name, hello.worker_name, hello.heartbeat_interval_seconds, mint, settings)
    return Admission(pool.id, queues)


def _resolve(tx: ReadTx, work_pool_id: str, names: list[str]) -> list[ResolvedQueue]:
    if not names:
        return [ResolvedQueue(*row) for row in queue_table.names_in_pool(tx, work_pool_id)]
    found = []
    for name in dict.fromkeys(names):
        id_ = queue_table.id_in_pool(tx, work_pool_id, name)
        if id_ is None:
            raise ChannelRefused("authorization_failed")
        found.append(ResolvedQueue(id_, name))
    return found


def beat(
    tx: Tx, name: str, worker: str, interval_s: int, mint: Mint, settings: Settings
) -> Timestamp:
    """Note a heartbeat; when the pool was changed last.

    Raises:
        ChannelRefused: the pool has gone.
    """
    try:
        _beat(tx, name, worker, interval_s, mint, settings)
    except Refused as refusal:
        raise ChannelRefused("heartbeat_persistence_failed") from refusal
    return work_pools.find(tx, name).updated


def _beat(tx: Tx, name: str, worker: str, interval_s: int, mint: Mint, settings: Settings) -> None:
    body = Heartbeat(name=worker, heartbeat_interval_seconds=interval_s)
    workers.beat(tx, name, body, mint, settings)
