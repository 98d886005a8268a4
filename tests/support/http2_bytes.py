"""Bytes that an HTTP/2 server sends, for tests of the client."""

from __future__ import annotations

from hypothesis import strategies as st

from loadgen.protocols.grpc import answer
from loadgen.protocols.grpc.request import frame
from loadgen.protocols.http2 import frames, headers
from loadgen.protocols.http2.capture import StreamCapture
from loadgen.protocols.http2.connection import Http2Connection
from loadgen.protocols.http2.stream import Http2Stream
from loadgen.types import Timeline

SETTINGS = frames.encode_settings({})
HEADERS = headers.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS = headers.encode([(b"grpc-status", b"0"), (b"grpc-message", b"")])
END = frames.END_STREAM | frames.END_HEADERS


def head(number: int = 1, block: bytes = HEADERS, flags: int = frames.END_HEADERS) -> bytes:
    return frames.encode(frames.HEADERS, flags, number, block)


def data(number: int, *messages: bytes) -> bytes:
    return frames.encode(frames.DATA, 0, number, b"".join(map(frame, messages)))


def tail(number: int = 1, block: bytes = TRAILERS) -> bytes:
    return head(number, block, END)


def whole(number: int = 1, *messages: bytes) -> bytes:
    """A whole good answer."""
    return head(number) + b"".join(data(number, message) for message in messages) + tail(number)


def connected(settings: dict[int, int] | None = None) -> Http2Connection:
    """A connection whose server has said its settings, with nothing left to send."""
    connection = Http2Connection()
    connection.receive(frames.encode_settings(settings or {}))
    connection.outbox.take()
    return connection


def ask(connection: Http2Connection, body: bytes = b"hello") -> Http2Stream:
    return connection.open(b"\x83", memoryview(body), Timeline(0))


def sent(connection: Http2Connection) -> list[frames.Frame]:
    """Take what the connection has to send now, as frames."""
    return frames.Splitter(1 << 24).feed(bytes(connection.outbox.take()))


def outcome(stream: Http2Stream) -> Timeline:
    """What the desk makes of an ended stream."""
    timeline = StreamCapture(stream.timeline, stream, b"", 0).finish(0)
    answer.unpack(timeline)
    return timeline


NUMBERS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1])
BLOCKS = st.sampled_from([HEADERS, TRAILERS, HEADERS + TRAILERS, HEADERS[:4], headers.encode([(b":status", b"503")]),
                          headers.encode([(b"grpc-status", b"14"), (b"grpc-message", b"%zz%C3")]), b"\xbe", b""])
PAYLOADS = st.one_of(BLOCKS, st.binary(max_size=20), st.integers(0, 2**32 - 1).map(lambda n: n.to_bytes(4, "big")),
                     st.just(bytes(8)), st.builds(lambda m: bytes(data(1, m))[9:], st.binary(max_size=9)))
LIKELY = st.builds(frames.encode, st.sampled_from([0, 1, 1, 3, 4, 6, 7, 8, 9]),
                   st.sampled_from([0, 0, 1, 4, 4, 5, 5, 8, 0x20, 0xFF]), NUMBERS, PAYLOADS)
GOOD = st.one_of(NUMBERS.map(head), st.builds(data, NUMBERS, st.binary(max_size=9)), NUMBERS.map(tail),
                 st.sampled_from([whole(1, b"x"), whole(3)]))
ANYTHING = st.builds(frames.encode, st.integers(0, 12), st.integers(0, 255), NUMBERS, st.binary(max_size=30))
SAID = st.lists(st.one_of(GOOD, LIKELY, ANYTHING), max_size=14)
