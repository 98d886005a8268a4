"""Whatever a server sends: the client neither raises nor hangs, and takes nothing for a success that is none."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.protocols.grpc import messages
from loadgen.protocols.http2 import frames
from loadgen.protocols.http2.connection import Http2Connection
from loadgen.protocols.http2.stream import Http2Stream
from loadgen.types import Failure
from support.effort import examples
from support.http2_bytes import SAID, ask, connected, outcome, whole


def feed(connection: Http2Connection, said: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(said), *(cut % (len(said) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        if connection.failure is None:
            connection.receive(said[start:end])
            connection.outbox.take()


def answered(said: bytes, stream: Http2Stream) -> bool:
    """Whether the frames hold HEADERS that end this stream, a grpc-status and status 200 for it.

    An oracle that keeps no state: what a success needs at least.
    """
    own = [(kind, flags, payload) for kind, flags, number, payload in frames.Splitter().feed(said)
           if number == stream.number and kind in (frames.HEADERS, frames.CONTINUATION)]
    text = b"".join(payload for _, _, payload in own)
    ends = any(kind == frames.HEADERS and flags & frames.END_STREAM for kind, flags, _ in own)
    return ends and b"grpc-status" in text and b"200" in text


@settings(max_examples=examples(300, 6000))
@given(SAID, st.lists(st.integers(0, 10_000), max_size=6))
def test_no_sequence_of_frames_breaks_it_or_passes_for_a_success(said: list[bytes], cuts: list[int]) -> None:
    connection = connected()
    streams = [ask(connection), ask(connection, bytes(70_000)), ask(connection)]
    stream_of_bytes = b"".join(said)
    feed(connection, stream_of_bytes, cuts)
    connection.lost(Failure("truncated", "gone"))
    assert sorted(stream.number for stream in connection.ended) == [1, 3, 5]
    for stream in streams:
        timeline = outcome(stream)
        if timeline.failure is None and timeline.status >= 300:
            assert not timeline.complete  # HTTP's own refusal: whoever reads it goes by the status
        elif timeline.failure is None:
            assert timeline.complete and timeline.status == 200
            assert answered(stream_of_bytes, stream)
            assert messages.split(timeline.payload).rest == 0
        else:
            assert timeline.failure.detail


@settings(max_examples=examples(150, 3000))
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_it(said: bytes, greeted: bool) -> None:
    connection = connected() if greeted else Http2Connection()
    stream = ask(connection) if greeted else None
    feed(connection, said, list(range(0, 200, 7)))
    connection.lost(Failure("truncated", "gone"))
    assert stream is None or outcome(stream).failure is not None


@settings(max_examples=examples(200, 4000))
@given(st.data())
def test_one_wrong_byte_anywhere_breaks_nothing(source: st.DataObject) -> None:
    good = whole(1, b"hello", b"world") + whole(3)
    at = source.draw(st.integers(0, len(good) - 1))
    said = good[:at] + source.draw(st.binary(min_size=0, max_size=2)) + good[at + 1:]
    connection = connected()
    streams = [ask(connection), ask(connection)]
    feed(connection, said, source.draw(st.lists(st.integers(0, 500), max_size=4)))
    connection.lost(Failure("truncated", "gone"))
    assert len(connection.ended) == 2
    for stream in streams:
        timeline = outcome(stream)
        assert (timeline.failure is None) <= (timeline.complete and not messages.split(timeline.payload).rest)


@settings(max_examples=examples(100, 2000))
@given(st.lists(st.tuples(st.sampled_from([0, 1, 3]), st.integers(0, 2**31 - 1), st.booleans()), max_size=20))
def test_no_windows_let_more_out_than_they_allow(grants: list[tuple[int, int, bool]]) -> None:
    connection = connected()
    for size in (150_000, 10):
        ask(connection, bytes(size))
    allowed = 65535
    out = 0
    for number, size, settings_too in grants:
        if connection.failure is not None:
            break
        connection.receive(frames.encode_number(frames.WINDOW_UPDATE, number, size))
        if settings_too:
            connection.receive(frames.encode_settings({frames.INITIAL_WINDOW_SIZE: size}))
        allowed += size if number == 0 else 0
        taken = frames.Splitter(1 << 17).feed(bytes(connection.outbox.take()))
        out += sum(len(payload) for kind, _, _, payload in taken if kind == frames.DATA)
        assert out <= allowed
