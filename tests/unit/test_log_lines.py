"""A log line: for people on a terminal, a JSON object otherwise; reports show at debug only."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest

from lictor.actors.observe import STREAM, observe
from lictor.config.settings import Settings
from lictor.daemon import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _same_logging_afterwards() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "lictor", STREAM)]
    levels = [logger.level for logger in loggers]
    handlers = loggers[0].handlers[:]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    loggers[0].handlers[:] = handlers
    logging.raiseExceptions = True


def written(settings: Settings, stream: io.StringIO | None = None) -> io.StringIO:
    stream = stream if stream is not None else io.StringIO()
    logs.configure(settings, stream)
    return stream


def test_a_line_that_is_not_for_a_terminal_is_one_json_object() -> None:
    stream = written(Settings())
    logging.getLogger("lictor.journal").warning("full", extra={"fields": {"waiting": 7}})
    assert stream.getvalue().count("\n") == 1
    line = msgspec.json.decode(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "lictor.journal",
        "message": "full",
        "waiting": 7,
    }


def test_an_error_of_many_lines_stays_one_json_line() -> None:
    stream = written(Settings())
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("lictor.journal").exception("failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: two\nlines" in msgspec.json.decode(stream.getvalue())["error"]


def test_a_field_cannot_hide_the_level_or_message() -> None:
    stream = written(Settings())
    logging.getLogger("lictor").warning("m", extra={"fields": {"message": "x", "level": "y"}})
    line = msgspec.json.decode(stream.getvalue())
    assert (line["message"], line["level"]) == ("m", "warning")


def test_a_terminal_gets_a_line_for_people() -> None:
    stream = written(Settings(), Terminal())
    logging.getLogger("lictor.journal").warning("full", extra={"fields": {"waiting": 7}})
    assert stream.getvalue().endswith(" warning journal: full waiting=7\n")


def test_the_form_can_be_chosen() -> None:
    stream = written(Settings(log_format="json"), Terminal())
    logging.getLogger("lictor").warning("m")
    assert stream.getvalue().startswith("{")
    stream = written(Settings(log_format="human"))
    logging.getLogger("lictor").warning("m")
    assert not stream.getvalue().startswith("{")


def test_reports_of_actors_are_lines_at_debug_and_nothing_above() -> None:
    stream = written(Settings(log_level="debug"))
    observe("lictor.journal.group.commit", jobs=3, duration_s=0.5)
    line = msgspec.json.decode(stream.getvalue())
    assert line["message"] == "lictor.journal.group.commit"
    assert (line["jobs"], line["duration_s"]) == (3, 0.5)
    stream = written(Settings(log_level="info"))
    observe("lictor.journal.group.commit", jobs=3)
    assert stream.getvalue() == ""


def test_debug_is_lictors_own_and_not_every_librarys() -> None:
    stream = written(Settings(log_level="debug"))
    logging.getLogger("hypercorn.error").debug("noise")
    logging.getLogger("lictor.hub").debug("signal")
    assert "signal" in stream.getvalue()
    assert "noise" not in stream.getvalue()


def test_a_level_hides_what_is_less_severe() -> None:
    stream = written(Settings(log_level="error"))
    logging.getLogger("lictor").warning("w")
    logging.getLogger("hypercorn.error").warning("w")
    assert stream.getvalue() == ""
