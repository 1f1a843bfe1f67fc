"""A real lictor process for the tests that kill and load it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Lictor:
    """A started process. Its log goes to `log` in its home."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, home: Path) -> None:
        self.process = process
        self.port = port
        self.home = home

    @property
    def database(self) -> Path:
        return self.home / "lictor.db"

    @property
    def rss_bytes(self) -> int:
        """Resident memory right now."""
        status = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def lictor(home: Path, **environment: str) -> Iterator[Lictor]:
    """A lictor that serves; whatever of it is left at the end is killed."""
    home.mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LICTOR_", "PREFECT_"))
    }
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lictor.daemon", "serve", "--port", "0", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=kept | environment,
        )
    assert process.stdout is not None
    try:
        found = None
        for line in process.stdout:
            if found := re.search(rb"PREFECT_API_URL=http://127\.0\.0\.1:(\d+)/", line):
                break
        assert found, (home / "log").read_text(encoding="utf-8")
        yield Lictor(process, int(found[1]), home)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
