"""A disk in memory, as an apsw VFS: it keeps a trace, fails on demand, and loses power afterwards.

Theory: a run on this disk leaves a trace of every write, sync, truncation and deletion, with marks
in between ("acknowledged: run X"). Losing power at operation k needs no second run: `PowerLoss`
replays the trace up to k. What was synced is there; of what was not, each operation is kept,
dropped or, a write, torn: any of its 512-byte sectors may be missing. So every point of a run, and
several outcomes of each, are looked at for the price of one run.

The disk has no shared memory: connections use `locking_mode=exclusive`, where SQLite keeps the
index of the log in its own memory, and are alone on their file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

SECTOR_BYTES = 512
PATH = Path("/memory/lictor.db")


class Operation(NamedTuple):
    """What reached the disk. `kind`: write, truncate, sync, delete; or mark, which did not."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""
    mark: object = None


class Disk:
    """Files by name, as the running process sees them, and the trace since `trace.clear()`."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {name: bytearray(data) for name, data in (files or {}).items()}
        self.trace: list[Operation] = []
        self.fault: Callable[[Operation], None] | None = None

    def do(self, operation: Operation) -> None:
        """Carry out `operation`, unless `fault` raises."""
        if self.fault is not None:
            self.fault(operation)
        self.trace.append(operation)
        apply(self.files, operation)

    def mark(self, mark: object) -> None:
        """Remember when in the trace `mark` became true."""
        self.trace.append(Operation("mark", "", mark=mark))

    def image(self) -> dict[str, bytes]:
        return {name: bytes(data) for name, data in self.files.items()}


def apply(files: dict[str, bytearray], operation: Operation) -> None:
    """Do to `files` what `operation` does."""
    if operation.kind == "delete":
        files.pop(operation.name, None)
        return
    file = files.setdefault(operation.name, bytearray())
    if operation.kind == "write":
        end = operation.offset + len(operation.data)
        if len(file) < operation.offset:
            file.extend(bytes(operation.offset - len(file)))
        file[operation.offset : end] = operation.data
    elif operation.kind == "truncate":
        del file[operation.offset :]


class PowerLoss:
    """Replays a trace over the files it began with; `image`: what a power loss now would leave."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._durable = {name: bytearray(data) for name, data in files.items()}
        self._pending: list[Operation] = []
        self.marks: list[object] = []

    def advance(self, operation: Operation) -> None:
        """Let one more operation have happened."""
        if operation.kind == "mark":
            self.marks.append(operation.mark)
        elif operation.kind != "sync":
            self._pending.append(operation)
        else:
            # A sync covers its file, and the directory: deletions are then done as well.
            for pending in self._pending:
                if pending.name == operation.name or pending.kind == "delete":
                    apply(self._durable, pending)
            self._pending = [
                pending
                for pending in self._pending
                if pending.name != operation.name and pending.kind != "delete"
            ]

    @property
    def is_settled(self) -> bool:
        """Whether everything is synced, so that there is only one image."""
        return not self._pending

    def image(self, chance: random.Random | None) -> dict[str, bytes]:
        """The files after a loss of power; without `chance` nothing unsynced survives."""
        files = {name: bytearray(data) for name, data in self._durable.items()}
        if chance is not None:
            for pending in self._pending:
                for survivor in _remains(pending, chance):
                    apply(files, survivor)
        return {name: bytes(data) for name, data in files.items()}


def _remains(operation: Operation, chance: random.Random) -> Iterator[Operation]:
    """What is left of an operation that was not synced."""
    fate = chance.randrange(3)
    if fate == 0:
        return
    if fate == 1 or operation.kind != "write" or len(operation.data) <= SECTOR_BYTES:
        yield operation
        return
    for begin in range(0, len(operation.data), SECTOR_BYTES):
        if chance.getrandbits(1):
            sector = operation.data[begin : begin + SECTOR_BYTES]
            yield operation._replace(offset=operation.offset + begin, data=sector)


class _File:
    """One open file, with the methods SQLite calls."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        disk.files.setdefault(name, bytearray())

    def _content(self) -> bytearray:
        return self._disk.files.setdefault(self._name, bytearray())

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._content()[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.do(Operation("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self._disk.do(Operation("truncate", self._name, size))

    def xSync(self, _flags: int) -> None:
        self._disk.do(Operation("sync", self._name))

    def xFileSize(self) -> int:
        return len(self._content())

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        # As the VFS of Linux has it: a torn write harms nothing beside what it writes.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xFileControl(self, _operation: int, _pointer: int) -> bool:
        return False

    def xCheckReservedLock(self) -> bool:
        return False

    def xLock(self, _level: int) -> None:
        pass

    def xUnlock(self, _level: int) -> None:
        pass

    def xClose(self) -> None:
        pass


class _Vfs(apsw.VFS):  # type: ignore[misc]
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, base="")

    def xOpen(self, name, flags):  # type: ignore[no-untyped-def]
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _File(self._disk, filename or "temporary")

    def xDelete(self, filename: str, sync_directory: bool) -> None:
        if filename not in self._disk.files:
            raise apsw.IOError("no such file")
        self._disk.do(Operation("delete", filename))
        if sync_directory:
            self._disk.do(Operation("sync", ""))

    def xAccess(self, filename: str, _flags: int) -> bool:
        return filename in self._disk.files

    def xFullPathname(self, filename: str) -> str:
        return filename


_numbers = iter(range(1_000_000_000))


@contextmanager
def mounted(disk: Disk) -> Iterator[str]:
    """The name of a VFS whose files are those of `disk`."""
    name = f"memory-{next(_numbers)}"
    vfs = _Vfs(name, disk)
    apsw.connection_hooks.append(_be_alone)
    try:
        yield name
    finally:
        apsw.connection_hooks.remove(_be_alone)
        vfs.unregister()


def _be_alone(connection: apsw.Connection) -> None:
    connection.pragma("locking_mode", "exclusive")
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
