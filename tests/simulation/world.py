"""The simulated machine: its clocks, its disk, and the server on it, which crashes and comes back.

Clients reach the server by `request` and `open_socket`; what stands between (the network) may lose
an answer, and a request may come twice or late. Everything that happens is noted; the digest of the
notes tells whether two histories are the same.
"""

from __future__ import annotations

import collections
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any

import apsw
import msgspec
import trio
from crash.disk import PATH, Disk, mounted

from lictor.actors.ingress.api import OPERATIONS
from lictor.actors.ingress.dispatch import Dispatcher, build_handle
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.socket import SocketHandler
from lictor.actors.ingress.sockets import build_sockets
from lictor.config.settings import Settings
from lictor.daemon import wiring
from lictor.daemon.supervisor import ActorFailed
from lictor.schema.backends import sqlite
from lictor.schema.mint import Mint
from simulation.chronos import SOON_S, Chronos, Clocks
from simulation.disk import FaultyDisk, PowerLost, Reader, SimulatedExecutor
from simulation.missed import Missed
from simulation.oracles import Oracles
from simulation.plan import Plan
from simulation.polling import Polls
from simulation.sockets import SimulatedSocket
from simulation.wrong import Wrong

NOTES_KEPT = 60
RESTART_S = 0.5
RECOVERY_S = 90.0
"""How long after a disk's failure the last of the server's loops tries again."""
SLOW_THREAD_S = 0.02
STEPS = (0, 0, 1, 2, 5, 12)
"""How many steps others may take between a commit and its telling."""


class Gone(Exception):
    """The connection broke: whether the request was carried out, nobody knows."""


class Server:
    """One life of the server, from its start to its end. `scopes`: its connections."""

    def __init__(self, connection: apsw.Connection, disk: FaultyDisk) -> None:
        self.connection = connection
        self.disk = disk
        self.scope = trio.CancelScope()
        self.stop = trio.Event()
        self.scopes: dict[trio.CancelScope, None] = {}
        self.handle: Dispatcher
        self.sockets: dict[str, SocketHandler]


def _digest_of_rows(connection: apsw.Connection) -> str:
    """Of all that is stored; where in the file it lies is SQLite's affair."""
    digest = hashlib.blake2b(digest_size=8)
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    for (table,) in connection.execute(tables).fetchall():
        for row in connection.execute(f"SELECT * FROM {table}"):
            digest.update(repr(row).encode())
    return digest.hexdigest()


@cache
def _new_database() -> dict[str, bytes]:
    disk = Disk()
    with mounted(disk) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        sqlite.checkpoint(connection, "truncate")
        connection.close()
    return disk.image()


class World:
    """See the module's head. `nursery` holds what no client waits for."""

    def __init__(self, plan: Plan, nursery: trio.Nursery) -> None:
        self.plan = plan
        self.nursery = nursery
        self.chance = random.Random(f"world {plan.seed}")
        self.disk = FaultyDisk(_new_database(), self.chance)
        self.runs: list[str] = []
        self.beliefs: dict[str, tuple[list[str], int, float]] = {}
        self.delivered: dict[str, tuple[str, SimulatedSocket]] = {}
        self.retry_after_s = 0.0
        self.settings = Settings(events_backfill_s=100_000_000, **plan.timeouts, **plan.scheduler)
        self.notes: collections.deque[str] = collections.deque(maxlen=NOTES_KEPT)
        self.noted = 0
        self.commits = 0
        self.crashes = 0
        self.is_calm = False
        self.planning: set[str] = set()
        self.has_failed_to_sync = False
        self.has_failing_disk = False
        self.is_over = False
        self.ended_at_s = 0.0
        self.crash_after_commits: int | None = None
        self.server: Server | None = None
        self._is_up = trio.Event()
        self._digest = hashlib.blake2b(digest_size=16)
        self._wall_offset_ns = 0
        self._ticks_ns = 0
        clocks = Clocks(trio.current_time, self.wall_us)
        self.chronos = Chronos(clocks, self.settings, SOON_S if plan.is_prompt else 90.0)
        self.chronos_chance = random.Random(f"chronos {plan.seed}")
        self.missed = Missed(self.chronos)
        self.oracles = Oracles(self.chronos, self.missed)
        self.polls = Polls()
        self.schedules_changed = trio.Event()
        self.thread_has_read = trio.Event()
        self.deployments: dict[str, tuple[str | None, int | None]] = {}
        self.running: dict[str, Any] = {}
        self.jumped_at_s = -1.0

    # Time and notes

    def wall_ns(self) -> int:
        """The wall clock: a look at it takes a microsecond, but it may tick coarsely."""
        self._ticks_ns += 1000
        now_ns = self._exact_ns()
        grain = self.plan.clock_grain_ns
        return (now_ns + self._ticks_ns) // grain * grain

    def _exact_ns(self) -> int:
        return self.plan.begin_ns + round(trio.current_time() * 1e9) + self._wall_offset_ns

    def wall_us(self) -> int:
        """The wall clock in microseconds, as an onlooker sees it."""
        return (self._exact_ns() + self._ticks_ns) // 1000

    def jump(self, clock: Callable[[], None]) -> None:
        """Let a clock jump."""
        before = self.wall_us()
        self.chronos.clock_jumps(clock)
        if self.server is not None:
            self.missed.clock_leaps(self.server.connection, before, self.wall_us())
        self.jumped_at_s = trio.current_time()
        # The time in which a run has to start may be over.
        self.running = {id_: each for id_, each in self.running.items() if each.has_started}

    @contextmanager
    def failing_disk(self) -> Iterator[None]:
        """Inside the block the disk fails: nobody expects runs in time."""
        self.has_failing_disk = True
        self.chronos.server_is_down()
        yield
        self.has_failing_disk = False
        if self.server is not None:
            self.chronos.server_is_up(RECOVERY_S)

    def set_wall_clock(self, by_s: float) -> None:
        """Let the wall clock, and nothing else, jump."""
        self._wall_offset_ns += int(by_s * 1e9)

    def now(self) -> str:
        return Mint(self.wall_ns).now()

    def note(self, *facts: object) -> None:
        line = f"{trio.current_time():.6f} {' '.join(map(str, facts))}"
        self._digest.update(line.encode() + b"\n")
        self.notes.append(line)
        self.noted += 1

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def happens(self, probability: float) -> bool:
        """Whether something goes wrong now, while faults go on."""
        return not self.is_calm and self.chance.random() < probability

    # The server

    async def keep_server(self) -> None:
        """Start the server, and start it again whenever it has ended, until the history is over."""
        while not self.is_over:
            await self._live_once()
            if self.disk.is_dead:
                self.crashes += 1
                self.disk = FaultyDisk(self.disk.after_power_loss(), self.chance)
            await trio.sleep(RESTART_S if self.is_calm else self.plan.restart_s)

    async def _live_once(self) -> None:
        with ExitStack() as stack:
            vfs = stack.enter_context(mounted(self.disk))
            try:
                connection = sqlite.open_writer(PATH, vfs=vfs)
            except (apsw.Error, sqlite.WrongDatabase) as error:
                if not (self.disk.is_dead or self.disk.is_full or self.disk.fails_sync):
                    raise Wrong(f"the database cannot be opened: {error!r}") from error
                self.note("start", "failed")
                return
            stack.callback(self._close, connection)
            self.oracles.check_all(connection)
            self.missed.server_starts(connection, self.wall_us())
            server = Server(connection, self.disk)
            with server.scope:
                await self._serve(server)
            self.note("end", "dead" if self.disk.is_dead else "stopped")

    def check_at_rest(self) -> None:
        """The server has ended for good: look at what it has left."""
        with mounted(self.disk) as vfs:
            connection = sqlite.open_writer(PATH, vfs=vfs)
            self.oracles.check_all(connection)
            self.note("rests", _digest_of_rows(connection))
            connection.close()

    def _close(self, connection: apsw.Connection) -> None:
        with suppress(apsw.Error):
            connection.close()

    async def _serve(self, server: Server) -> None:
        try:
            store = self._store(server)
            async with wiring.core(store, self.settings, self._mint()) as (supervisor, services):
                server.handle = build_handle(services, OPERATIONS, self.settings)
                server.sockets = build_sockets(services)
                self.server = server
                self._is_up.set()
                if not self.has_failing_disk:
                    self.chronos.server_is_up()
                self.note("start", "up")
                try:
                    await server.stop.wait()
                    await self._drain(server)
                    await supervisor.drain()
                finally:
                    self.server, self._is_up = None, trio.Event()
                    self.chronos.server_is_down()
                    for scope in server.scopes:
                        scope.cancel()
        except* PowerLost:
            pass
        except* apsw.IOError:
            # (the last checkpoint of a stop)
            if not (self.disk.is_dead or self.disk.fails_sync):
                raise
        except* apsw.FullError:
            if not self.disk.is_full:
                raise
        except* ActorFailed as failed:
            if not self.disk.is_dead:
                raise Wrong(str(failed.exceptions[0])) from failed

    async def _drain(self, server: Server) -> None:
        """As the edge: no new requests, those in flight are finished, sockets are closed."""
        server.handle.maintenance = "stopping"
        with trio.move_on_after(self.settings.drain_s):
            while server.handle.in_flight:  # noqa: ASYNC110 (a counter, as the edge has it)
                await trio.sleep(0.05)
        for scope in server.scopes:
            scope.cancel()

    def _mint(self) -> Mint:
        return Mint(self.wall_ns, random.Random(self.chance.getrandbits(64)))

    def _store(self, server: Server) -> wiring.Store:
        connection = server.connection
        loop_reader: Any = Reader(connection, lambda: self.happens(self.plan.slow_read))
        readers: list[Any] = [Reader(connection, bool), Reader(connection, bool)]
        return wiring.Store(
            writer=connection,
            checkpoints=connection,
            loop_reader=loop_reader,
            readers=readers,
            executors=lambda name: SimulatedExecutor(
                self.disk,
                self._disk_delay_s if name == "journal" else self._thread_delay_s,
                lambda: self.chance.choice(STEPS),
                self._after(name, server),
                server.scope.cancel,
            ),
        )

    def _disk_delay_s(self) -> float:
        if self.happens(self.plan.slow_disk):
            return self.chance.expovariate(1 / self.plan.slow_disk_s)
        return 0.0

    def _thread_delay_s(self) -> float:
        """What a thread that reads waits for the disk, or, at any time, for a processor."""
        if self.chance.random() < self.plan.slow_thread:
            return self.chance.expovariate(1 / SLOW_THREAD_S)
        return self._disk_delay_s()

    def _after(self, name: str, server: Server) -> Callable[[], None]:
        if name != "journal":
            return self._tell_of_read

        def after() -> None:
            self.commits += 1
            changed_at_s = self.chronos.changed_at_s
            self.oracles.check_commit(server.connection)
            self.polls.check_commit(server.connection)
            if self.chronos.changed_at_s != changed_at_s:
                self.schedules_changed.set()
            if self.crash_after_commits is not None:
                self.crash_after_commits -= 1
                if self.crash_after_commits < 0:
                    self.crash_after_commits = None
                    self.disk.is_dead = True

        return after

    def _tell_of_read(self) -> None:
        self.thread_has_read.set()
        self.thread_has_read = trio.Event()

    def crash(self, *, power: bool) -> None:
        """End the server now; without `power` loss the operating system writes everything."""
        if self.server is None:
            return
        self.note("crash", "power" if power else "kill")
        scope = self.server.scope
        if not power:
            self.disk.settle()
        self.disk.is_dead = True
        scope.cancel()

    async def up(self) -> None:
        """Wait until there is a server to talk to."""
        await self._is_up.wait()

    # The network

    async def request(
        self, method: str, path: str, body: Any = None, agent: str | None = None
    ) -> tuple[int, Any, float]:
        """Status, decoded body and Retry-After of one request.

        Raises:
            Gone: there is no server, or it ended before the answer.
        """
        server = self.server
        if server is None:
            raise Gone
        data = b"" if body is None else msgspec.json.encode(body)
        headers = [] if agent is None else [(b"user-agent", agent.encode())]
        request = Request(method, f"/api{path}", b"", headers, data)
        with self._connection(server):
            response = await server.handle(request)
            if server.disk.is_dead:
                raise Gone
            answer = msgspec.json.decode(response.body) if response.body else None
            if response.status >= 500 and response.status != 503:
                raise Wrong(f"{method} {path} was answered {response.status}: {answer}")
            retry_after = [
                float(value) for name, value in response.headers if name == b"retry-after"
            ]
            return response.status, answer, retry_after[0] if retry_after else 0.0
        raise Gone

    @contextmanager
    def _connection(self, server: Server) -> Iterator[None]:
        """What is done inside ends with the server."""
        with trio.CancelScope() as scope:
            server.scopes[scope] = None
            try:
                yield
            finally:
                del server.scopes[scope]

    def open_socket(self, path: str) -> SimulatedSocket:
        """A socket at `path`, its handler running.

        Raises:
            Gone: there is no server.
        """
        server = self.server
        if server is None:
            raise Gone
        socket = SimulatedSocket(f"/api{path}", server)
        self.nursery.start_soon(self._serve_socket, server, server.sockets[path], socket)
        return socket

    async def _serve_socket(
        self, server: Server, handler: SocketHandler, socket: SimulatedSocket
    ) -> None:
        try:
            if self.server is server:
                with self._connection(server):
                    await handler(socket)
        finally:
            socket.end()
