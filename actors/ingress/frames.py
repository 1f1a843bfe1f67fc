"""WebSocket frames out of bytes, and into bytes. Does no I/O.

Written by hand because events arrive by the ten thousand: a general library in Python spends more
on a frame than lictor does on the event inside. Unmasking is one XOR of two large integers.
Extensions are never negotiated, so every reserved bit is a fault.

Source: RFC 6455 section 5.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lictor.actors.ingress.socket import Binary, Ping, Text

PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009
REASON_BYTES_MAX: Final = 123

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_PRIVATE_CODES: Final = range(3000, 5000)
_KNOWN_CODES: Final = frozenset(
    (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
)


class Pong(msgspec.Struct, frozen=True):
    """The answer to a ping of ours."""

    payload: bytes


class Close(msgspec.Struct, frozen=True):
    """The peer ends the connection; 1005 stands for "no code given"."""

    code: int


class Fault(Exception):
    """The peer broke the protocol; the connection is to be closed with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Event = Text | Binary | Ping | Pong | Close


class FrameParser:
    """Client frames of one connection; messages larger than `message_bytes_max` are a fault.

    Memory is bounded by one message and one read: a frame that is too large is refused by its
    header, before its payload is awaited.
    """

    def __init__(self, message_bytes_max: int) -> None:
        self.fault: Fault | None = None
        self._message_bytes_max = message_bytes_max
        self._held = bytearray()
        self._needed_bytes = 2
        self._kind = 0
        self._fragments = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """All that is complete with `data`, in order.

        When the peer breaks the protocol, `fault` is set and what came before it is returned.
        Nothing may be fed afterwards, nor after a `Close`.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._needed_bytes:
                return []
            data = bytes(self._held)
            self._held.clear()
        events: list[Event] = []
        try:
            position = self._parse(data, events)
        except Fault as fault:
            self.fault = fault
            return events
        if position < len(data):
            self._held += data[position:]
        return events

    def _parse(self, data: bytes, events: list[Event]) -> int:
        """Parse whole frames; the position of the first byte that belongs to an incomplete one."""
        position, end = 0, len(data)
        while end - position >= 2:
            first, second = data[position], data[position + 1]
            self._check(first, second)
            size = second & 0x7F
            start = position + 6
            if size > 125:
                width = 2 if size == 126 else 8
                start += width
                if end < start - 4:
                    self._needed_bytes = start - 4 - position
                    return position
                size = int.from_bytes(data[position + 2 : position + 2 + width], "big")
            if first & 0x0F < _CLOSE and len(self._fragments) + size > self._message_bytes_max:
                limit = self._message_bytes_max
                raise Fault(TOO_BIG, f"Message is larger than {limit} bytes")
            if end < start + size:
                self._needed_bytes = start + size - position
                return position
            payload = unmasked(data[start : start + size], data[start - 4 : start])
            position = start + size
            event = self._take(first, payload)
            if event is not None:
                events.append(event)
                if isinstance(event, Close):
                    return end
        self._needed_bytes = 2
        return position

    def _check(self, first: int, second: int) -> None:
        """Refuse a frame by its first two bytes."""
        if not second & 0x80:
            raise Fault(PROTOCOL_ERROR, "A client's frame must be masked")
        opcode = first & 0x0F
        if first & 0x70:
            raise Fault(PROTOCOL_ERROR, "Reserved bits are set")
        if opcode >= _CLOSE:
            if opcode > _PONG or not first & 0x80 or second & 0x7F > 125:
                raise Fault(PROTOCOL_ERROR, "Malformed control frame")
        elif opcode > _BINARY or (opcode == _CONTINUATION) != bool(self._kind):
            raise Fault(PROTOCOL_ERROR, "Unexpected frame")

    def _take(self, first: int, payload: bytes) -> Event | None:
        opcode = first & 0x0F
        if opcode >= _CLOSE:
            if opcode == _PING:
                return Ping(payload)
            return Pong(payload) if opcode == _PONG else _close(payload)
        if first & 0x80 and opcode:
            return _message(opcode, payload)
        self._kind = self._kind or opcode
        self._fragments += payload
        if not first & 0x80:
            return None
        kind, whole = self._kind, bytes(self._fragments)
        self._kind = 0
        self._fragments.clear()
        return _message(kind, whole)


def _message(kind: int, payload: bytes) -> Event:
    if kind == _BINARY:
        return Binary(payload)
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise Fault(INVALID_TEXT, "Text is not UTF-8") from None
    return Text(payload)


def _close(payload: bytes) -> Close:
    if not payload:
        return Close(1005)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _KNOWN_CODES or code in _PRIVATE_CODES):
        raise Fault(PROTOCOL_ERROR, "Malformed close frame")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Fault(INVALID_TEXT, "Close reason is not UTF-8") from None
    return Close(code)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """`payload` with the client's `mask` of four bytes taken off, or put on."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(
        size, "little"
    )


def ping_frame(payload: bytes) -> bytes:
    """A ping of ours; `payload` has at most 125 bytes."""
    return bytes((0x80 | _PING, len(payload))) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping with `payload`."""
    return bytes((0x80 | _PONG, len(payload))) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; `reason` is cut to 123 bytes at a character's end. 1005 sends no code."""
    if code == 1005:
        return bytes((0x80 | _CLOSE, 0))
    text = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
    return bytes((0x80 | _CLOSE, len(text) + 2)) + code.to_bytes(2, "big") + text
