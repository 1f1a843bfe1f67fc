"""What handlers may call: the addresses of the actors, the settings and the mint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lictor.actors.catch_up import CatchUp
    from lictor.actors.cleanup import CleanupQueue
    from lictor.actors.events import EventHub
    from lictor.actors.journal import Journal
    from lictor.actors.leases import LeaseManager
    from lictor.actors.logs import LogWriter
    from lictor.actors.orchestrator import Orchestrator
    from lictor.actors.readers import Readers
    from lictor.actors.task_queue import TaskQueue
    from lictor.actors.worker_channel import WorkerChannels
    from lictor.config.settings import Settings
    from lictor.schema.mint import Mint


class Services:
    """Built once by `daemon/wiring.py` and given to every handler."""

    __slots__ = (
        "catch_up",
        "cleanup_queue",
        "hub",
        "journal",
        "leases",
        "logs",
        "mint",
        "orchestrator",
        "readers",
        "settings",
        "task_queue",
        "worker_channels",
    )

    def __init__(
        self,
        *,
        settings: Settings,
        mint: Mint,
        journal: Journal,
        readers: Readers,
        orchestrator: Orchestrator,
        hub: EventHub,
        logs: LogWriter,
        leases: LeaseManager,
        task_queue: TaskQueue,
        worker_channels: WorkerChannels,
        cleanup_queue: CleanupQueue,
        catch_up: CatchUp,
    ) -> None:
        self.settings = settings
        self.mint = mint
        self.journal = journal
        self.readers = readers
        self.orchestrator = orchestrator
        self.hub = hub
        self.logs = logs
        self.leases = leases
        self.task_queue = task_queue
        self.worker_channels = worker_channels
        self.cleanup_queue = cleanup_queue
        self.catch_up = catch_up
