"""The client's side of HTTP/2, byte by byte, without a socket."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.protocols.http2 import frames
from loadgen.protocols.http2.connection import Http2Connection
from loadgen.types import Failure
from support.http2_bytes import END, HEADERS, SETTINGS, TRAILERS, ask, connected, data, head, outcome, sent, tail, whole

ANSWER = whole(1, b"one", b"", b"three")
PAYLOAD = b"\0\0\0\0\x03one\0\0\0\0\0\0\0\0\0\x05three"


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def test_the_client_opens_with_wide_windows_and_no_table() -> None:
    opening = bytes(Http2Connection().outbox.take())
    assert opening.startswith(frames.PREFACE)
    settings, window = frames.Splitter().feed(opening[len(frames.PREFACE):])
    assert settings[:3] == (frames.SETTINGS, 0, 0)
    assert frames.settings_of(settings[3]) == [(frames.HEADER_TABLE_SIZE, 0), (frames.ENABLE_PUSH, 0),
                                               (frames.INITIAL_WINDOW_SIZE, 2**31 - 1)]
    assert window == (frames.WINDOW_UPDATE, 0, 0, number(2**31 - 1 - 65535))


def test_settings_are_acknowledged_and_make_room() -> None:
    connection = Http2Connection()
    assert connection.room == 0
    connection.outbox.take()
    connection.receive(frames.encode_settings({frames.MAX_CONCURRENT_STREAMS: 2, 0x99: 7}))
    assert sent(connection) == [(frames.SETTINGS, frames.ACK, 0, b"")]
    assert connection.room == 2
    ask(connection)
    assert connection.room == 1
    connection.receive(frames.encode(frames.SETTINGS, frames.ACK, 0) + frames.encode_settings(
        {frames.MAX_CONCURRENT_STREAMS: 0}))
    assert connection.room == 0


def test_a_request_is_headers_and_one_body() -> None:
    connection = connected()
    ask(connection)
    ask(connection, b"")
    assert sent(connection) == [(frames.HEADERS, frames.END_HEADERS, 1, b"\x83"), (frames.HEADERS, END, 3, b"\x83"),
                                (frames.DATA, frames.END_STREAM, 1, b"hello")]
    assert [stream.number for stream in connection.outbox.begun] == [1, 3]
    assert [stream.number for stream in connection.outbox.finished] == [3, 1]


def test_a_long_header_block_is_continued() -> None:
    connection = connected()
    connection.open(bytes(40_000), memoryview(b""), ask(connection).timeline)
    kinds = [(kind, flags, len(payload)) for kind, flags, number, payload in sent(connection) if number == 3]
    assert kinds == [(frames.HEADERS, frames.END_STREAM, 16384), (frames.CONTINUATION, 0, 16384),
                     (frames.CONTINUATION, frames.END_HEADERS, 7232)]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
def test_any_division_into_reads_gives_the_same_answer(cuts: list[int]) -> None:
    connection = connected()
    stream = ask(connection)
    edges = [0, *sorted(cuts), len(ANSWER)]
    for start, end in pairwise(edges):
        assert connection.receive(ANSWER[start:end]) in ([], [stream])
    assert connection.ended == [stream]
    timeline = outcome(stream)
    assert (timeline.payload, timeline.complete, timeline.failure, timeline.status) == (PAYLOAD, True, None, 200)
    assert timeline.headers == b"content-type: application/grpc\r\ngrpc-status: 0\r\ngrpc-message: \r\n"


def test_byte_by_byte_with_another_answer_behind() -> None:
    connection = connected()
    first, second = ask(connection), ask(connection)
    for byte in ANSWER + whole(3, b"x"):
        connection.receive(bytes((byte,)))
    assert connection.ended == [first, second]
    assert [outcome(stream).failure for stream in (first, second)] == [None, None]
    assert bytes(second.payload) == b"\0\0\0\0\x01x"


def test_no_cut_is_a_success() -> None:
    for cut in range(len(ANSWER)):
        connection = connected()
        stream = ask(connection)
        connection.receive(ANSWER[:cut])
        assert connection.ended == []
        connection.lost(Failure("truncated", "gone"))
        timeline = outcome(stream)
        assert (timeline.complete, timeline.failure) == (False, Failure("truncated", "gone")), cut


def padded(kind: int, flags: int, payload: bytes, padding: int) -> bytes:
    return frames.encode(kind, flags | frames.PADDED, 1, bytes((padding,)) + payload + bytes(padding))


def test_padding_priority_and_continuation_are_taken_off() -> None:
    connection = connected()
    stream = ask(connection)
    connection.receive(
        padded(frames.HEADERS, frames.PRIORITY, bytes(5) + HEADERS[:3], 9)
        + frames.encode(frames.CONTINUATION, 0, 1, b"")
        + frames.encode(frames.CONTINUATION, frames.END_HEADERS, 1, HEADERS[3:])
        + padded(frames.DATA, 0, b"\0\0\0\0\x02h", 200) + padded(frames.DATA, 0, b"i", 0)
        + frames.encode(frames.HEADERS, frames.END_STREAM | frames.PRIORITY, 1, bytes(5) + TRAILERS[:1])
        + frames.encode(frames.CONTINUATION, frames.END_HEADERS, 1, TRAILERS[1:]))
    assert connection.ended == [stream]
    assert (outcome(stream).failure, bytes(stream.payload)) == (None, b"\0\0\0\0\x02hi")


def test_trailers_only_and_informational_headers() -> None:
    connection = connected()
    first, second = ask(connection), ask(connection)
    connection.receive(tail(1, HEADERS + TRAILERS) + head(3, b"\0\x07:status\x03103") + whole(3, b"x"))
    assert [outcome(stream).failure for stream in (first, second)] == [None, None]
    assert (first.payload, second.timeline.status) == (b"", 200)


def test_reads_say_which_streams_they_brought_something_for() -> None:
    connection = connected()
    first, second = ask(connection), ask(connection)
    assert connection.receive(head(1) + head(3) + data(1, b"x")) == [second, first]
    assert connection.receive(frames.encode(frames.PING, 0, 0, bytes(8))) == []
    assert connection.receive(data(3, b"x") + data(3, b"y")) == [second]


# Flow control


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=40), st.integers(0, 200_000), st.integers(1, 400_000))
def test_a_body_never_exceeds_the_windows_and_arrives_whole(grants: list[int], initial: int, size: int) -> None:
    connection = connected({frames.INITIAL_WINDOW_SIZE: initial})
    body = bytes(range(251)) * (size // 251 + 1)
    stream = ask(connection, body)
    got = b""
    allowed, whole_connection = initial, 65535
    for grant in [*grants, len(body) + 65535]:
        for kind, _, _, payload in drain(connection):
            if kind == frames.DATA:
                got += payload
        assert len(got) <= min(allowed, whole_connection)
        allowed += grant
        whole_connection += grant
        connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 1, grant)
                           + frames.encode_number(frames.WINDOW_UPDATE, 0, grant))
    got += b"".join(payload for kind, _, _, payload in drain(connection) if kind == frames.DATA)
    assert got == body
    assert not stream.body


def drain(connection: Http2Connection) -> list[frames.Frame]:
    found: list[frames.Frame] = []
    while connection.outbox.pending:
        found += sent(connection)
        assert all(len(payload) <= connection.outbox.frame_size for *_, payload in found)
    return found


def test_four_megabytes_wait_for_a_window_of_64_kilobytes() -> None:
    connection = connected()
    stream = ask(connection, bytes(4_000_000))
    assert sum(len(payload) for kind, _, _, payload in drain(connection) if kind == frames.DATA) == 65535
    connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 0, 10_000_000))
    assert not connection.outbox.pending
    connection.receive(frames.encode_settings({frames.INITIAL_WINDOW_SIZE: 5_000_000, frames.MAX_FRAME_SIZE: 1 << 20}))
    frames_sent = drain(connection)
    assert frames_sent[-1][:3] == (frames.DATA, frames.END_STREAM, 1)
    assert not stream.body


def test_a_window_can_become_negative() -> None:
    connection = connected({frames.INITIAL_WINDOW_SIZE: 100})
    stream = ask(connection, bytes(300))
    drain(connection)
    connection.receive(frames.encode_settings({frames.INITIAL_WINDOW_SIZE: 10}))
    assert stream.window == -90
    drain(connection)
    connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 1, 90))
    assert not connection.outbox.pending
    connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 1, 200))
    assert drain(connection)[-1] == (frames.DATA, frames.END_STREAM, 1, bytes(200))


def test_bodies_go_out_in_turn() -> None:
    connection = connected()
    connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 0, 100_000))
    ask(connection, bytes(40_000))
    ask(connection, bytes(40_000))
    order = [number for kind, _, number, _ in drain(connection) if kind == frames.DATA]
    assert order == [1, 3, 1, 3, 1, 3]


def test_our_windows_are_made_whole_at_half() -> None:
    connection = connected()
    stream = ask(connection)
    drain(connection)
    connection.receive(head(1))
    block = frames.encode(frames.DATA, 0, 1, bytes(16384)) * 64
    for _ in range(1024):
        connection.receive(block)
        stream.payload.clear()
    assert sent(connection) == [(frames.WINDOW_UPDATE, 0, 1, number(1 << 30)),
                                (frames.WINDOW_UPDATE, 0, 0, number(1 << 30))]


# The rest of what a server may say


def test_pings_are_answered_and_asked() -> None:
    connection = connected()
    connection.receive(frames.encode(frames.PING, 0, 0, b"12345678") + frames.encode(frames.PING, 1, 0, b"12345678"))
    assert sent(connection) == [(frames.PING, frames.ACK, 0, b"12345678")]
    connection.ping()
    assert connection.unanswered_ping
    assert sent(connection) == [(frames.PING, 0, 0, b"loadgen?")]
    connection.receive(frames.encode(frames.PING, 1, 0, b"loadgen?"))
    assert not connection.unanswered_ping


def goaway(last: int, code: int = 0, words: bytes = b"") -> bytes:
    return frames.encode(frames.GOAWAY, 0, 0, number(last) + number(code) + words)


def test_goaway_refuses_what_it_has_not_seen_and_lets_the_rest_finish() -> None:
    connection = connected()
    first, second = ask(connection), ask(connection)
    connection.receive(goaway(2**31 - 1))
    assert connection.room == 0 and not connection.ended
    connection.receive(goaway(1, 11, b"too_many_pings"))
    assert connection.ended == [second]
    assert second.refused and second.failure is not None
    assert "too_many_pings" in second.failure.detail and second.failure.type == "ENHANCE_YOUR_CALM"
    connection.receive(whole(1))
    assert connection.ended == [second, first] and first.complete


@pytest.mark.parametrize(("code", "name", "refused"), [(2, "INTERNAL_ERROR", False), (7, "REFUSED_STREAM", True),
                                                       (8, "CANCEL", False), (99, "error 99", False)])
def test_a_reset_stream_is_truncated(code: int, name: str, refused: bool) -> None:
    connection = connected()
    stream = ask(connection)
    connection.receive(frames.encode_number(frames.RST_STREAM, 1, code))
    assert outcome(stream).failure == Failure("truncated", f"the server reset the stream: {name}", name)
    assert stream.refused is refused
    assert connection.room > 0


def test_a_reset_after_the_end_changes_nothing() -> None:
    connection = connected()
    stream = ask(connection)
    connection.receive(whole(1) + frames.encode_number(frames.RST_STREAM, 1, 0))
    assert outcome(stream).failure is None


def test_a_cancelled_stream_is_reset_and_what_comes_for_it_is_passed_over() -> None:
    connection = connected()
    stream = ask(connection, bytes(100_000))
    drain(connection)
    connection.cancel(stream, Failure("timeout", "total"))
    connection.cancel(stream, Failure("timeout", "again"))
    assert connection.receive(whole(1, b"late") + frames.encode_number(frames.WINDOW_UPDATE, 1, 9)) == []
    assert sent(connection) == [(frames.RST_STREAM, 0, 1, number(8))]
    assert connection.ended == [stream] and stream.failure == Failure("timeout", "total")


def test_an_answer_before_the_request_was_all_sent_ends_the_sending() -> None:
    connection = connected()
    stream = ask(connection, bytes(1_000_000))
    drain(connection)
    connection.receive(tail(1, HEADERS + TRAILERS))
    assert drain(connection) == [(frames.RST_STREAM, 0, 1, number(8))]
    connection.receive(frames.encode_number(frames.WINDOW_UPDATE, 0, 1_000_000))
    assert not connection.outbox.take()
    assert stream.complete


@pytest.mark.parametrize(("sent_by_server", "words"), [
    (frames.encode(frames.DATA, frames.END_STREAM, 1, b"x"), "DATA came before headers"),
    (head() + data(1, b"x") + head(), "headers came where none may be"),
    (head() * 17, "headers came where none may be"),
    (frames.encode_number(frames.WINDOW_UPDATE, 1, 0), "a WINDOW_UPDATE of 0"),
    (frames.encode_number(frames.WINDOW_UPDATE, 1, 2**31 - 1), "its window is too large"),
])
def test_a_malformed_stream_leaves_the_others_alone(sent_by_server: bytes, words: str) -> None:
    connection = connected()
    bad, good = ask(connection), ask(connection)
    sent(connection)
    connection.receive(sent_by_server)
    assert outcome(bad).failure == Failure("parse", f"not HTTP/2: {words}")
    assert sent(connection) == [(frames.RST_STREAM, 0, 1, number(1))]
    connection.receive(whole(3))
    assert outcome(good).failure is None


BROKEN = {
    "push": (frames.encode(frames.PUSH_PROMISE, 4, 1, bytes(9)), "PUSH_PROMISE"),
    "interrupted": (head(1, HEADERS, 0) + data(1, b"x"), "interrupted"),
    "other continuation": (head(1, HEADERS, 0) + frames.encode(frames.CONTINUATION, 4, 3, b""), "continues nothing"),
    "stray continuation": (frames.encode(frames.CONTINUATION, 4, 1, b""), "continues nothing"),
    "long block": (head(1, bytes(16000), 0) + frames.encode(frames.CONTINUATION, 0, 1, bytes(16000)) * 17, "longer"),
    "padding": (head(1) + frames.encode(frames.DATA, frames.PADDED, 1, b"\x09abc"), "padding of DATA"),
    "no padding length": (head(1) + frames.encode(frames.DATA, frames.PADDED, 1, b""), "padding of DATA"),
    "headers padding": (frames.encode(frames.HEADERS, frames.PRIORITY | 4, 1, b"abc"), "padding of HEADERS"),
    "unknown stream": (head(5), "never opened"),
    "even stream": (data(2, b"x"), "never opened"),
    "stream 0": (data(0, b"x"), "never opened"),
    "idle reset": (frames.encode_number(frames.RST_STREAM, 7, 0), "never opened"),
    "idle window": (frames.encode_number(frames.WINDOW_UPDATE, 7, 1), "never opened"),
    "short reset": (frames.encode(frames.RST_STREAM, 0, 1, b"x"), "RST_STREAM of 1"),
    "settings on a stream": (frames.encode(frames.SETTINGS, 0, 1), "SETTINGS"),
    "odd settings": (frames.encode(frames.SETTINGS, 0, 0, b"x"), "SETTINGS"),
    "full ack": (frames.encode(frames.SETTINGS, 1, 0, bytes(6)), "SETTINGS"),
    "frame size": (frames.encode_settings({frames.MAX_FRAME_SIZE: 5}), "MAX_FRAME_SIZE 5"),
    "window size": (frames.encode_settings({frames.INITIAL_WINDOW_SIZE: 2**31}), "INITIAL_WINDOW_SIZE"),
    "ping": (frames.encode(frames.PING, 0, 0, b"x"), "PING"),
    "goaway": (frames.encode(frames.GOAWAY, 0, 0, b"x"), "GOAWAY"),
    "window 0": (frames.encode_number(frames.WINDOW_UPDATE, 0, 0), "WINDOW_UPDATE"),
    "window overflow": (frames.encode_number(frames.WINDOW_UPDATE, 0, 2**31 - 1), "too large"),
    "short window": (frames.encode(frames.WINDOW_UPDATE, 0, 1, b"x"), "WINDOW_UPDATE"),
    "frame too long": (frames.encode(frames.DATA, 0, 1, bytes(16385)), "a frame of 16385 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_connection_fails_every_request_and_says_goodbye(name: str) -> None:
    said, words = BROKEN[name]
    connection = connected()
    streams = [ask(connection), ask(connection)]
    sent(connection)
    connection.receive(said)
    assert connection.failure is not None and words in connection.failure.detail
    assert connection.ended == streams
    assert all(outcome(stream).failure == connection.failure for stream in streams)
    assert [kind for kind, *_ in sent(connection) if kind != frames.SETTINGS] == [frames.GOAWAY]
    assert connection.room == 0


@pytest.mark.parametrize(("said", "words"), [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it begins with 'HTTP/1.1 400 Bad Request"),
    (frames.encode(frames.PING, 0, 0, bytes(8)), "does not begin with SETTINGS"),
    (frames.encode(frames.SETTINGS, frames.ACK, 0), "does not begin with SETTINGS"),
])
def test_what_is_not_http2_is_told(said: bytes, words: str) -> None:
    connection = Http2Connection()
    connection.receive(said)
    assert connection.failure is not None and words in connection.failure.detail


def test_unknown_frames_are_passed_over() -> None:
    connection = connected()
    stream = ask(connection)
    connection.receive(frames.encode(0x42, 0xFF, 1, b"?") + SETTINGS + whole(1))
    assert outcome(stream).failure is None
