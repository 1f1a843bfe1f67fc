"""What every crash test begins with."""

from __future__ import annotations

import os

import pytest

from crash.disk import PATH, Disk, mounted
from crash.workload import Workload
from lictor.schema.backends import sqlite

SEED = int(os.environ.get("LICTOR_CRASH_SEED", "1"))


@pytest.fixture(scope="module")
def base() -> dict[str, bytes]:
    """The files of a database with a flow and a few runs, at rest."""
    disk = Disk()
    with mounted(disk) as vfs:
        connection = sqlite.open_writer(PATH, vfs=vfs)
        tx = sqlite.GroupTx(connection)
        tx.begin()
        Workload(SEED).prepare(tx, runs=6)
        tx.commit()
        sqlite.checkpoint(connection, "truncate")
        connection.close()
    return disk.image()
