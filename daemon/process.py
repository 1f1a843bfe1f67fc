"""One life of the process: take the port and the home, run the actors, stop on a signal.

Order    settings, port, home, database: each step that can refuse does so before the next one
         touches anything.
Signals  the first SIGTERM or SIGINT drains, within `drain_s`; the second ends the process at once.
Wiring   `wiring.run(settings, listening, stop, *, task_status)` opens the database, starts the
         actors in a `supervising()` block, gives `task_status` a function that returns once loop
         and writer have answered, waits for `stop`, and drains.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import apsw
import trio

from lictor.config.load import Loaded, exposure
from lictor.config.settings import Settings
from lictor.daemon import home, listen, logs, wiring
from lictor.daemon.exits import CannotStart, Exit
from lictor.daemon.notify import Notifier
from lictor.daemon.version import version
from lictor.schema.backends import sqlite

_log = logging.getLogger("lictor.process")


def serve(loaded: Loaded, environment: Mapping[str, str]) -> Exit:
    """Serve until a signal; how it ended.

    Raises:
        CannotStart: the port, the home or the database cannot be used.
    """
    settings = loaded.settings
    logs.configure(settings)
    for warning in loaded.warnings:
        _log.warning(warning)
    home.refuse_prefect(settings.home)
    listen.check_tls(settings)
    listening = listen.handed_over(environment)
    if listening:
        settings = listen.at(settings, listening[0])
        for warning in exposure(settings):
            _log.warning(warning)
    else:
        listening = listen.listeners(settings)
    life = _Life(settings, Notifier(environment))
    try:
        with life.signals(), home.held(settings.home):
            return life.live(listening)
    finally:
        for each in listening:
            each.close()


class _Life:
    """From the first signal handler to the last line."""

    def __init__(self, settings: Settings, notifier: Notifier) -> None:
        self._settings = settings
        self._notifier = notifier
        self._stop = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._signalled = False
        self._is_ready = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Answer SIGTERM and SIGINT by a stop, from now on."""
        previous = {each: signal.signal(each, self._on_signal) for each in _STOP_SIGNALS}
        try:
            yield
        finally:
            for each, handler in previous.items():
                signal.signal(each, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._stop.set)

    def live(self, listening: list[socket.socket]) -> Exit:
        """Run the actors until they have stopped."""
        try:
            trio.run(self._run, listening)
        except Exception as error:
            if not self._is_ready and (refusal := _refusal(error, self._settings)):
                raise refusal from error
            _log.critical("%s", _obituary(error), exc_info=error)
            return Exit.BUG
        _log.info("stopped")
        return Exit.OK

    async def _run(self, listening: list[socket.socket]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self._signalled:
            return
        async with trio.open_nursery() as helpers:
            async with trio.open_nursery() as core:
                alive = await core.start(wiring.run, self._settings, listening, self._stop)
                self._is_ready = True
                # What start-up made lives as long as the process: the collector need not look.
                gc.freeze()
                gc.enable()
                self._announce(listening[0])
                helpers.start_soon(self._notifier.feed_watchdog, alive)
                await self._stop.wait()
                self._notifier.send("STOPPING=1")
                _log.info("stopping: finishing what was begun (a second signal ends at once)")
            helpers.cancel_scope.cancel()

    def _announce(self, listening: socket.socket) -> None:
        """Say where the API is, on stdout whatever the log level."""
        url = listen.url(self._settings, listening)
        # Whoever started lictor may have closed its stdout; that is no reason not to serve.
        with suppress(OSError, ValueError):
            print(
                f"lictor {version()} serves the Prefect API at {url} from {self._settings.home}\n"
                f"point a client to it:  prefect config set PREFECT_API_URL={url}",
                flush=True,
            )
        self._notifier.send("READY=1", f"STATUS=Serving {url}")


_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _refusal(error: BaseException, settings: Settings) -> CannotStart | None:
    """The line for an error of the start that the operator can mend; None for a bug."""
    for leaf in _leaves(error):
        for match, refuse in _REFUSALS:
            if isinstance(leaf, match):
                return refuse(leaf, settings)
    return None


def _wrong_database(error: BaseException, _settings: Settings) -> CannotStart:
    return CannotStart(Exit.DATABASE, str(error))


def _damaged(error: BaseException, settings: Settings) -> CannotStart:
    path = wiring.database_path(settings)
    text = f"{path} is not a readable database ({error}). Restore a backup, or move it away."
    return CannotStart(Exit.DATABASE, text)


def _no_disk(error: BaseException, settings: Settings) -> CannotStart:
    path = wiring.database_path(settings)
    text = f"{path} cannot be opened for writing ({error}). Check its owner, its mode and the disk."
    return CannotStart(Exit.HOME, text)


_REFUSALS: tuple[
    tuple[
        type[BaseException] | tuple[type[BaseException], ...],
        Callable[[BaseException, Settings], CannotStart],
    ],
    ...,
] = (
    (sqlite.WrongDatabase, _wrong_database),
    ((apsw.NotADBError, apsw.CorruptError), _damaged),
    (
        (
            apsw.CantOpenError,
            apsw.ReadOnlyError,
            apsw.PermissionsError,
            apsw.IOError,
            apsw.FullError,
            apsw.BusyError,
            OSError,
        ),
        _no_disk,
    ),
)


def _obituary(error: BaseException) -> str:
    """What an operator reads when a core actor has failed."""
    reasons = "; ".join(dict.fromkeys(str(leaf) or repr(leaf) for leaf in _leaves(error)))
    return (
        f"lictor ends because of a fault of its own: {reasons}. What was acknowledged is on disk; "
        "start it again, and please report this with the lines below."
    )
