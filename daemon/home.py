"""The home: the directory that holds everything lictor keeps, used by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lictor.daemon.exits import CannotStart, Exit

LOCK = "lictor.lock"
PREFECT_DATABASE = "prefect.db"


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Make `home` if need be and hold it for this process alone.

    What lictor makes can be read by its user only: directories 0700, files 0600 (by the umask of
    the whole process). The lock is the kernel's and ends with the process, however that ends.

    Raises:
        CannotStart: it is Prefect's home, it cannot be written, or another lictor runs in it.
    """
    os.umask(0o077)
    refuse_prefect(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(home, error) from error
    try:
        _lock(lock, home)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def refuse_prefect(home: Path) -> None:
    """Raises:
    CannotStart: `home` holds the database of a Prefect server, or may not be looked into.
    """
    try:
        is_prefects = (home / PREFECT_DATABASE).exists()
    except OSError as error:
        raise _unusable(home, error) from error
    if is_prefects:
        raise CannotStart(
            Exit.CONFIGURATION,
            f"{home} is the home of a Prefect server (it holds {PREFECT_DATABASE}). lictor needs a "
            "home of its own: choose one with --home or LICTOR_HOME. Nothing was changed.",
        )


def _unusable(home: Path, error: OSError) -> CannotStart:
    return CannotStart(
        Exit.HOME,
        f"the home {home} cannot be used: {error.strerror}. Make it writable for this user "
        "or choose another one with --home.",
    )


def _lock(lock: int, home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        named = f" (process {holder})" if holder else ""
        raise CannotStart(
            Exit.HOME_IN_USE,
            f"another lictor{named} already runs in {home}. Stop it first, or give this one "
            "another home with --home and another port with --port.",
        ) from error
