"""The map of the system: opens the database, builds every actor, and hands each what it may call.

Order of start is order of dependence: the journal first, the edge last. They stop the other way
round: the edge takes no more requests while the journal still writes those in flight.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import apsw
import trio

from lictor.actors.catch_up import CatchUp
from lictor.actors.checkpointer import Checkpointer
from lictor.actors.cleanup import CleanupQueue
from lictor.actors.events import EventHub
from lictor.actors.executor import Executor, ThreadExecutor
from lictor.actors.ingress.api import OPERATIONS
from lictor.actors.ingress.dispatch import build_handle
from lictor.actors.ingress.server import serve
from lictor.actors.ingress.services import Services
from lictor.actors.ingress.sockets import build_sockets
from lictor.actors.journal import Journal
from lictor.actors.leases import LeaseManager
from lictor.actors.logs import LogWriter
from lictor.actors.orchestrator import Orchestrator
from lictor.actors.readers import Readers
from lictor.actors.task_queue import TaskQueue
from lictor.actors.worker_channel import WorkerChannels
from lictor.config.settings import Settings
from lictor.daemon.housekeeping import housekeeping
from lictor.daemon.supervisor import Supervisor, supervising
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint
from lictor.schema.tables import events, logs

DATABASE = "lictor.db"
READER_THREADS = 2

Alive = Callable[[], Awaitable[object]]
"""Returns once the loop and the writer have answered."""


def database_path(settings: Settings) -> Path:
    """Where the state lives."""
    return settings.home / DATABASE


class Store:
    """The database's connections, and the executors they live on; `opened` makes the real one."""

    def __init__(
        self,
        *,
        writer: apsw.Connection,
        checkpoints: apsw.Connection,
        loop_reader: apsw.Connection,
        readers: Sequence[apsw.Connection],
        executors: Callable[[str], Executor],
    ) -> None:
        self.writer = writer
        self.checkpoints = checkpoints
        self.loop_reader = loop_reader
        self.readers = readers
        self.writer_executor = executors("journal")
        self.checkpoint_executor = executors("checkpointer")
        self.reader_executors = [executors(f"reader {n}") for n in range(len(readers))]

    def close(self) -> None:
        """Join the threads, close the connections: readers first, so that the log can empty."""
        for executor in (*self.reader_executors, self.writer_executor, self.checkpoint_executor):
            executor.close()
        for connection in (self.loop_reader, *self.readers, self.checkpoints, self.writer):
            connection.close()


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store in the settings' home, closed at the end of the block whatever happens in it."""
    path = database_path(settings)
    store = Store(
        writer=sqlite.open_writer(path, synchronous=settings.synchronous.upper()),
        checkpoints=sqlite.open_checkpointer(path),
        loop_reader=sqlite.open_reader(path),
        readers=[sqlite.open_reader(path) for _ in range(READER_THREADS)],
        executors=ThreadExecutor,
    )
    try:
        yield store
    finally:
        store.close()


@asynccontextmanager
async def core(
    store: Store, settings: Settings, mint: Mint
) -> AsyncIterator[tuple[Supervisor, Services]]:
    """Every actor but the edge, running. The block must end with `supervisor.drain()`.

    Raises:
        ActorFailed: in an exception group, when a core actor has failed.
    """
    journal = Journal(store.writer, store.writer_executor)
    checkpointer = Checkpointer(store.checkpoints, store.checkpoint_executor, journal)
    readers = Readers(
        store.loop_reader,
        list(zip(store.readers, store.reader_executors, strict=True)),
        time_limit_s=settings.read_time_limit_s,
    )
    hub = EventHub(journal, readers, mint, settings, readers.inline(events.newest_seq))
    log_writer = LogWriter(journal, mint, readers.inline(logs.newest_seq))
    leases = LeaseManager(journal, readers, mint, settings)
    task_queue = TaskQueue(journal, readers, mint, settings)
    worker_channels = WorkerChannels(journal, readers)
    cleanup_queue = CleanupQueue(journal, readers, mint, settings)
    catch_up = CatchUp(journal, readers, mint, settings)
    services = Services(
        settings=settings,
        mint=mint,
        journal=journal,
        readers=readers,
        orchestrator=Orchestrator(journal),
        hub=hub,
        logs=log_writer,
        leases=leases,
        task_queue=task_queue,
        worker_channels=worker_channels,
        cleanup_queue=cleanup_queue,
        catch_up=catch_up,
    )
    async with supervising(settings.drain_s) as supervisor:
        await supervisor.core("journal", journal.run, journal.close)
        supervisor.rim("checkpointer", checkpointer.run)
        await supervisor.core("event hub", hub.run, hub.close)
        await supervisor.core("log writer", log_writer.run, log_writer.close)
        await supervisor.core("lease manager", leases.run, leases.close)
        await supervisor.core("task queue", task_queue.run, task_queue.close)
        supervisor.rim("worker channels", worker_channels.run)
        supervisor.rim("clean-up queue", cleanup_queue.run)
        supervisor.rim("catch-up", catch_up.run)
        for name, keep in housekeeping(journal, readers, mint, settings):
            supervisor.rim(name, keep)
        yield supervisor, services
    await checkpointer.finish()


async def run(
    settings: Settings,
    listening: Sequence[socket.socket],
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[Alive] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on `listening` until `stop`, then drain and leave an empty write-ahead log.

    Raises:
        WrongDatabase: the file in the home is not one this program may open.
        apsw.Error: it cannot be opened.
        ActorFailed: in an exception group, when a core actor has failed.
    """
    with opened(settings) as store:
        async with core(store, settings, Mint()) as (supervisor, services):
            handle = build_handle(services, OPERATIONS, settings)
            edge_stop = trio.Event()
            edge = partial(
                serve,
                settings,
                handle,
                build_sockets(services),
                shutdown=edge_stop,
                listening=listening,
            )
            await supervisor.core("ingress", edge, edge_stop.set)
            task_status.started(partial(services.journal.write, _nothing))
            await stop.wait()
            handle.maintenance = "The server is stopping; another will take over shortly."
            await supervisor.drain()


def _nothing(_tx: object) -> None:
    """The job that asks the writer whether it is alive."""
