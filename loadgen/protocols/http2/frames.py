"""HTTP/2 frames (RFC 9113, sections 4 and 6): their numbers, how one is written, how a byte stream is cut into them."""

from __future__ import annotations

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5

ERRORS: Final = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)
"""Names of the error codes, each at the place of its number."""

LARGEST: Final = (1 << 31) - 1
"""The largest window, and the largest number of a stream."""
FRAME_SIZE: Final = 16384
"""The payload that a frame may have unless the receiver has said otherwise."""
DEFAULT_WINDOW: Final = 65535

_HEADER: Final = Struct(">IBI")  # length << 8 | type, flags, stream
_SETTING: Final = Struct(">HI")
_NUMBER: Final = Struct(">I")

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream, payload."""


def encode(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """Write one frame."""
    return _HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def encode_settings(values: dict[int, int]) -> bytes:
    """Write a SETTINGS frame."""
    return encode(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def encode_number(kind: int, stream: int, number: int) -> bytes:
    """Write a frame whose payload is one number: WINDOW_UPDATE or RST_STREAM."""
    return encode(kind, 0, stream, _NUMBER.pack(number))


def number_of(payload: bytes, at: int = 0) -> int:
    """Read 32 bits of a payload."""
    (number,) = _NUMBER.unpack_from(payload, at)
    return int(number)


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Read the pairs of a SETTINGS payload, whose length is a multiple of 6."""
    return [(name, value) for name, value in _SETTING.iter_unpack(payload)]


def unpad(flags: int, payload: bytes) -> bytes | None:
    """Take padding and priority off the payload of DATA or HEADERS; None if they don't fit into it."""
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            return None
        start, end = 1, end - payload[0]
    if flags & PRIORITY:
        start += 5
    return payload[start:end] if start <= end else None


def error_name(code: int) -> str:
    """Name an error code."""
    return ERRORS[code] if code < len(ERRORS) else f"error {code}"


class Splitter:
    """Cut a byte stream into frames. `oversized` is the length of a frame that is longer than `limit`, else 0."""

    __slots__ = ("_limit", "_rest", "oversized")

    def __init__(self, limit: int = FRAME_SIZE) -> None:
        self._limit = limit
        self._rest = b""
        self.oversized = 0

    @property
    def rest(self) -> bytes:
        """What has come of the next frame."""
        return self._rest

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; give the frames that they complete, up to an oversized one."""
        buffer = self._rest + data if self._rest else data
        found: list[Frame] = []
        at, size = 0, len(buffer)
        unpack = _HEADER.unpack_from
        while size - at >= 9:
            word, flags, stream = unpack(buffer, at)
            length = word >> 8
            if length > self._limit:
                self.oversized = length
                break
            end = at + 9 + length
            if end > size:
                break
            found.append((word & 0xFF, flags, stream & LARGEST, buffer[at + 9:end]))
            at = end
        self._rest = buffer[at:] if at else buffer
        return found
