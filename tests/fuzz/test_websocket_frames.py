"""Whatever bytes arrive on a socket, the parser gives whole messages or one fault."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Event as LibraryEvent
from wsproto.events import Ping as LibraryPing
from wsproto.events import Pong as LibraryPong

from lictor.actors.ingress.frames import Close, Event, FrameParser, Pong, close_frame, unmasked
from lictor.actors.ingress.socket import Binary, Ping, Text, text_frame

MESSAGE_BYTES_MAX = 100_000

payloads = st.one_of(st.binary(max_size=200), st.sampled_from([b"x" * 126, b"y" * 70_000]))
events = st.one_of(
    st.text(max_size=200).map(lambda text: TextMessage(data=text)),
    payloads.map(lambda data: BytesMessage(data=data)),
    st.binary(max_size=125).map(lambda data: LibraryPing(payload=data)),
    st.binary(max_size=125).map(lambda data: LibraryPong(payload=data)),
)


def fed(pieces: list[bytes]) -> tuple[list[Event], int | None]:
    parser = FrameParser(MESSAGE_BYTES_MAX)
    found: list[Event] = []
    for piece in pieces:
        found += parser.feed(piece)
        if parser.fault is not None or (found and isinstance(found[-1], Close)):
            break
    return found, parser.fault.code if parser.fault else None


def cut(data: bytes, at: list[int]) -> list[bytes]:
    cuts = [0, *sorted(each % (len(data) + 1) for each in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(cuts) if end > start]


def ours(event: LibraryEvent) -> Event:
    if isinstance(event, TextMessage):
        return Text(event.data.encode())
    if isinstance(event, BytesMessage):
        return Binary(bytes(event.data))
    if isinstance(event, LibraryPing):
        return Ping(bytes(event.payload))
    assert isinstance(event, LibraryPong)
    return Pong(bytes(event.payload))


@given(st.lists(events, max_size=8), st.lists(st.integers(min_value=0), max_size=6))
def test_what_a_library_sends_is_read_however_it_is_cut(
    sent: list[LibraryEvent], at: list[int]
) -> None:
    client = Connection(ConnectionType.CLIENT)
    data = b"".join(client.send(event) for event in sent)
    data += client.send(CloseConnection(code=1001, reason="bye"))
    assert fed(cut(data, at)) == ([*map(ours, sent), Close(1001)], None)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\x81\x80abcd"]))))
def test_any_bytes_give_events_or_one_fault_however_they_are_cut(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found, code = fed([data] if data else [])
    assert code in (None, 1002, 1007, 1009)
    assert fed([data[at : at + 1] for at in range(len(data))]) == (found, code)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(payload: bytes, mask: bytes) -> None:
    masked = unmasked(payload, mask)
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert unmasked(masked, mask) == payload


@given(st.text(max_size=70_000), st.text(max_size=300))
def test_a_library_reads_what_is_sent(text: str, reason: str) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(text_frame(text.encode()) + close_frame(1008, reason))
    message, closing = client.events()
    assert message == TextMessage(data=text)
    assert isinstance(closing, CloseConnection)
    assert closing.code == 1008
    assert reason.startswith(closing.reason or "")
