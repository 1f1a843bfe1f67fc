"""Log lines on stderr: for people on a terminal, one JSON object otherwise.

Fields travel in `extra={"fields": {…}}`. The records of foreign libraries (hypercorn) take the same
way.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

import msgspec

from lictor.actors.observe import STREAM
from lictor.config.settings import Settings

_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every record of at least `settings.log_level` to `stream` (stderr)."""
    target = stream or sys.stderr
    handler: logging.Handler
    if target is None:  # started with its stderr closed: there is nobody to tell
        handler = logging.NullHandler()
    else:
        form = settings.log_format
        human = form == "human" or (form == "auto" and target.isatty())
        handler = logging.StreamHandler(target)
        handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = settings.log_level.upper()
    root.setLevel(max(logging.INFO, logging.getLevelName(level)))
    # At debug lictor's own records, not every library's.
    logging.getLogger("lictor").setLevel(level)
    logging.getLogger(STREAM).setLevel(level)
    logging.raiseExceptions = False  # a closed stderr must not disturb serving


class JsonFormatter(logging.Formatter):
    """`{"at", "level", "logger", "message", …fields, "error"?}`, built by msgspec (8 µs)."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, field in _fields(record).items():
            line.setdefault(name, field)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class HumanFormatter(logging.Formatter):
    """`12:00:00.123 warning journal: message name=value`, the error's traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix("lictor.")
        fields = "".join(f" {key}={field}" for key, field in _fields(record).items())
        level = record.levelname.lower()
        head = f"{at}.{int(record.msecs):03d} {level:<7} {name}: {record.getMessage()}{fields}"
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _moment(created_s: float) -> str:
    seconds = int(created_s)
    micros = int((created_s - seconds) * 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"
