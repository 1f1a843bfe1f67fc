"""The log writer: gathering, limits, refusals; and `/logs/out`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lictor.actors.ingress.http import Header
from lictor.actors.ingress.socket import Disconnected, Frame, Ping, Text, text_frame
from lictor.actors.ingress.sockets import logs as socket_handler
from lictor.actors.logs import FRAME_BYTES_MAX, REPEATS_S, LogWriter, frame_of
from lictor.schema.errors import Unavailable
from lictor.schema.mint import Mint
from lictor.schema.wire.logs import Log, LogCreate

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def lines(*messages: str) -> list[LogCreate]:
    return [LogCreate("name", 20, message, NOON) for message in messages]


class HeldJournal:
    """Keeps jobs until `release`; then each ends as `outcome` says."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.release = trio.Event()
        self.outcome: Exception | None = None

    def subscribe(self, _subscriber: object) -> None:
        pass

    async def write(self, job: Any) -> None:
        self.jobs.append(job)
        await self.release.wait()
        if self.outcome is not None:
            raise self.outcome


async def written(writer: LogWriter, batch: list[LogCreate], size: int, answers: list[str]) -> None:
    try:
        await writer.write(batch, size)
        answers.append("stored")
    except Unavailable:
        answers.append("refused")


async def test_batches_that_wait_go_into_one_job_in_their_order(
    nursery: trio.Nursery,
) -> None:
    journal: Any = HeldJournal()
    writer = LogWriter(journal, Mint(), 0)
    await nursery.start(writer.run)
    answers: list[str] = []
    for name in "abc":
        nursery.start_soon(written, writer, lines(name, name + name), 10, answers)
        await wait_all_tasks_blocked()
    assert answers == []
    journal.release.set()
    await wait_all_tasks_blocked()
    assert answers == ["stored"] * 3
    gathered = [[line.message for line in job.keywords["lines"]] for job in journal.jobs]
    assert gathered == [["a", "aa"], ["b", "bb", "c", "cc"]]
    writer.close()


async def test_more_batches_than_may_wait_are_refused(nursery: trio.Nursery) -> None:
    journal: Any = HeldJournal()
    writer = LogWriter(journal, Mint(), 0, batches_waiting_max=1)
    await nursery.start(writer.run)
    answers: list[str] = []
    for _ in range(3):
        nursery.start_soon(written, writer, lines("x"), 10, answers)
        await wait_all_tasks_blocked()
    assert answers == ["refused"]
    journal.release.set()
    await wait_all_tasks_blocked()
    assert answers == ["refused", "stored", "stored"]
    writer.close()


async def test_more_bytes_than_may_wait_are_refused_until_some_are_stored(
    nursery: trio.Nursery,
) -> None:
    journal: Any = HeldJournal()
    writer = LogWriter(journal, Mint(), 0, bytes_waiting_max=100)
    await nursery.start(writer.run)
    answers: list[str] = []
    nursery.start_soon(written, writer, lines("larger than the limit, alone"), 500, answers)
    await wait_all_tasks_blocked()
    with pytest.raises(Unavailable):
        await writer.write(lines("b"), 1)
    journal.release.set()
    await wait_all_tasks_blocked()
    await writer.write(lines("c"), 60)
    assert answers == ["stored"]
    writer.close()


async def test_a_refusing_disk_is_answered_to_every_batch_of_the_job(
    nursery: trio.Nursery,
) -> None:
    journal: Any = HeldJournal()
    journal.outcome = Unavailable("The disk is full.")
    writer = LogWriter(journal, Mint(), 0)
    await nursery.start(writer.run)
    answers: list[str] = []
    for _ in range(3):
        nursery.start_soon(written, writer, lines("x"), 10, answers)
    await wait_all_tasks_blocked()
    journal.release.set()
    await wait_all_tasks_blocked()
    assert answers == ["refused"] * 3
    writer.close()


async def test_batches_that_wait_when_the_writer_is_closed_are_still_stored(
    nursery: trio.Nursery,
) -> None:
    journal: Any = HeldJournal()
    writer = LogWriter(journal, Mint(), 0)
    await nursery.start(writer.run)
    answers: list[str] = []
    for _ in range(3):
        nursery.start_soon(written, writer, lines("x"), 10, answers)
    await wait_all_tasks_blocked()
    writer.close()
    with pytest.raises(Unavailable):
        await writer.write(lines("late"), 10)
    journal.release.set()
    await wait_all_tasks_blocked()
    assert answers == ["stored"] * 3


class Client:
    """A socket whose client is the test: `frames` are what it was sent, `code` how it was closed.

    With `reading` unset the client takes nothing, and the server's sends wait.
    """

    path, query, peer = "/api/logs/out", b"", None
    headers: tuple[Header, ...] = ()
    subprotocols = ()

    def __init__(self, *opening: Frame) -> None:
        self.say, self._hear = trio.open_memory_channel[list[Frame]](10)
        for frame in opening:
            self.say.send_nowait([frame])
        self.frames: list[bytes] = []
        self.pongs: list[bytes] = []
        self.code: int | None = None
        self.reason = ""
        self.reading = trio.Event()
        self.reading.set()

    async def accept(self, subprotocol: str | None = None) -> None:
        pass

    async def receive(self) -> list[Frame]:
        try:
            return await self._hear.receive()
        except trio.EndOfChannel:
            raise Disconnected(1000) from None

    async def send(self, frames: bytes) -> None:
        await self.reading.wait()
        self.frames.append(frames)

    async def pong(self, payload: bytes) -> None:
        self.pongs.append(payload)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.code, self.reason = code, reason

    @property
    def messages(self) -> list[str]:
        """The messages of the lines received."""
        return [log["message"] for log in self.logs]

    @property
    def logs(self) -> list[dict[str, Any]]:
        data, found = b"".join(self.frames), []
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            message = msgspec.json.decode(data[start : start + size])
            assert message["type"] == "log"
            found.append(message["log"])
            data = data[start + size :]
        return found


def opening(criteria: dict[str, Any]) -> Text:
    return Text(msgspec.json.encode({"type": "filter", "filter": criteria}))


async def test_a_client_is_sent_the_lines_that_match_once_they_are_stored(
    api: Any, nursery: trio.Nursery
) -> None:
    writer = api.services.logs
    await writer.write(lines("before"), 10)
    client: Any = Client(opening({"text": {"query": "yes"}}))
    nursery.start_soon(socket_handler.stream, client, api.services)
    await wait_all_tasks_blocked()
    await writer.write(lines("yes 1", "no", "yes 2"), 10)
    await wait_all_tasks_blocked()
    assert client.messages == ["yes 1", "yes 2"]
    _, stored = await api("POST", "/logs/filter", {"logs": {"text": {"query": "yes"}}})
    assert client.logs == stored
    client.say.close()


async def test_a_client_that_leaves_is_forgotten(api: Any, nursery: trio.Nursery) -> None:
    client: Any = Client(opening({}))
    nursery.start_soon(socket_handler.stream, client, api.services)
    await wait_all_tasks_blocked()
    client.say.send_nowait([Ping(b"p"), Text(b"whatever")])
    await wait_all_tasks_blocked()
    assert client.pongs == [b"p"]
    client.say.close()
    await wait_all_tasks_blocked()
    assert len(api.services.logs._fanout) == 0


async def test_a_slow_client_gets_every_line_once_in_the_order_of_storing(
    api: Any, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_handler, "PAGE_LINES", 7)
    writer = api.services.logs
    monkeypatch.setattr(writer._fanout, "_waiting_bytes_max", 1000)
    client: Any = Client(opening({}))
    nursery.start_soon(socket_handler.stream, client, api.services)
    await wait_all_tasks_blocked()
    client.reading = trio.Event()
    for n in range(60):
        await writer.write(lines(f"{n}"), 10)
    client.reading.set()
    await wait_all_tasks_blocked()
    await writer.write(lines("60"), 10)
    await wait_all_tasks_blocked()
    assert client.messages == [f"{n}" for n in range(61)]
    client.say.close()


@pytest.mark.parametrize(
    "first",
    [
        Text(b'{"type":"hello"}'),
        Text(b"no json"),
        Text(b'{"type":"filter"}'),
        Text(b'{"type":"filter","filter":{"level":{"loud":1}}}'),
        Text(b'{"type":"filter","filter":[]}'),
    ],
)
async def test_a_client_that_does_not_open_with_a_filter_is_closed_1002(
    api: Any, first: Frame
) -> None:
    client: Any = Client(Ping(b""), first)
    await socket_handler.stream(client, api.services)
    assert client.code == 1002
    assert client.reason.startswith(("Expected 'filter' message", "Invalid filter: "))


async def test_a_client_too_many_is_told_to_come_again(
    api: Any, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.services.logs._fanout, "_subscribers_max", 0)
    client: Any = Client(opening({}))
    await socket_handler.stream(client, api.services)
    assert client.code == 1013


async def test_a_client_that_cannot_catch_up_is_closed_and_not_left_with_a_gap(
    api: Any, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = api.services.logs
    monkeypatch.setattr(writer._fanout, "_waiting_bytes_max", 1)
    client: Any = Client(opening({}))
    nursery.start_soon(socket_handler.stream, client, api.services)
    await wait_all_tasks_blocked()

    async def read(_query: object) -> None:
        raise Unavailable("The search took too long.")

    monkeypatch.setattr(api.services.readers, "read", read)
    await writer.write(lines("a", "b"), 10)
    await wait_all_tasks_blocked()
    assert client.messages == ["a"]
    assert client.code == 1013


def test_a_line_no_client_would_take_has_no_frame() -> None:
    log = Log("id", "c", "u", "n", 20, "x", "t", None, None)
    assert frame_of(log) == text_frame(
        b'{"type":"log","log":{"id":"id","created":"c","updated":"u","name":"n","level":20,'
        b'"message":"x","timestamp":"t","flow_run_id":null,"task_run_id":null}}'
    )
    assert frame_of(msgspec.structs.replace(log, message="x" * FRAME_BYTES_MAX)) is None


async def test_naive_and_zoned_timestamps_meet_the_same_live_filter(
    api: Any, nursery: trio.Nursery
) -> None:
    client: Any = Client(opening({"timestamp": {"after_": "2026-11-21T12:00:00"}}))
    nursery.start_soon(socket_handler.stream, client, api.services)
    await wait_all_tasks_blocked()
    create = partial(LogCreate, "n", 20)
    early, late = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)
    await api.services.logs.write(
        [create("early", early), create("late", late), create("naive", late.replace(tzinfo=None))],
        10,
    )
    await wait_all_tasks_blocked()
    assert client.messages == ["late", "naive"]
    client.say.close()


async def test_repeats_are_looked_for_as_long_as_clients_send_again_after_a_restart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal: Any = HeldJournal()
    journal.release.set()
    writer, fresh = LogWriter(journal, Mint(), 7), LogWriter(journal, Mint(), 0)
    await nursery.start(writer.run)
    await nursery.start(fresh.run)
    await writer.write(lines("a"), 10)
    await fresh.write(lines("b"), 10)
    await trio.sleep(REPEATS_S)
    await writer.write(lines("c"), 10)
    known = [job.keywords.get("stored_until") for job in journal.jobs]
    assert known == [7, None, None]
    writer.close()
    fresh.close()
