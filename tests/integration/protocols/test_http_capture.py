"""Capturing an answer, byte by byte, without a socket."""

from __future__ import annotations

import itertools
from array import array

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.protocols.http import request
from loadgen.protocols.http.address import split_url
from loadgen.protocols.http.response import ResponseCapture, failure_of, pack_stamp
from loadgen.types import Call, Timeline, UsageError

CHUNKED = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n")


def read(capture: ResponseCapture, data: bytes, now: int = 0) -> None:
    """What a connection does with one read, when it does not let it wait."""
    capture.log += (data, pack_stamp(now), now)
    capture.settle()


def feed(capture: ResponseCapture, *pieces: bytes) -> Timeline:
    for number, piece in enumerate(pieces):
        read(capture, piece, number)
    return capture.finish()


def offsets(timeline: Timeline) -> list[int]:
    return array("q", timeline.offsets).tolist()


@given(st.lists(st.integers(0, len(CHUNKED)), max_size=8))
def test_any_division_into_reads_gives_the_same_answer(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(CHUNKED)]
    pieces = [CHUNKED[a:b] for a, b in itertools.pairwise(edges)]
    timeline = feed(ResponseCapture(Timeline(0), b"q"), *pieces)
    assert (timeline.status, timeline.payload, timeline.complete) == (200, b"hello world", True)
    assert b"content-type: text/event-stream\r\n" in timeline.headers
    assert len(offsets(timeline)) == len(pieces)
    assert offsets(timeline)[-1] == 11
    assert offsets(timeline) == sorted(offsets(timeline))


@given(st.lists(st.integers(1, len(CHUNKED)), max_size=8))
def test_reads_that_wait_give_the_same_as_reads_that_do_not(sizes: list[int]) -> None:
    at_once, later = ResponseCapture(Timeline(0), b"q"), ResponseCapture(Timeline(0), b"q")
    at = 0
    for now, size in enumerate([*sizes, len(CHUNKED)]):
        piece = CHUNKED[at:at + size]
        at += size
        if piece:
            later.log += (piece, pack_stamp(now), now)
            read(at_once, piece, now)
    later.settle()
    assert later.finish() == at_once.finish()


def test_only_the_inside_of_a_chunked_body_can_wait() -> None:
    chunked = ResponseCapture(Timeline(0), b"")
    read(chunked, CHUNKED[:10])
    assert not chunked.patient
    read(chunked, CHUNKED[10:-9])
    assert chunked.patient
    plain = ResponseCapture(Timeline(0), b"")
    read(plain, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    assert not plain.patient


def test_every_cut_before_the_end_is_incomplete() -> None:
    for cut in range(len(CHUNKED)):
        capture = ResponseCapture(Timeline(0), b"q")
        feed_to = CHUNKED[:cut]
        if feed_to:
            read(capture, feed_to)
        capture.end_of_stream()
        assert not capture.complete, cut


def test_keep_alive_is_what_the_server_says() -> None:
    for head, alive in ((b"", True), (b"Connection: close\r\n", False)):
        capture = ResponseCapture(Timeline(0), b"")
        read(capture, b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\nok")
        assert (capture.complete, capture.keep_alive) == (True, alive)


def test_an_answer_without_length_ends_with_the_connection() -> None:
    capture = ResponseCapture(Timeline(0), b"")
    read(capture, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")
    assert not capture.complete
    capture.end_of_stream()
    assert capture.complete and not capture.keep_alive
    assert capture.finish().payload == b"all of it"


def test_informational_answers_are_passed_over() -> None:
    capture = ResponseCapture(Timeline(0), b"again")
    read(capture, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not capture.complete
    capture.end_of_stream()
    assert not capture.complete
    read(capture, b"HTTP/1.1 429 Too Many\r\nContent-Length: 1\r\n\r\nx")
    assert capture.complete
    timeline = capture.finish()
    assert (timeline.status, timeline.payload) == (429, b"x")


def test_the_request_is_kept_only_until_the_server_answers() -> None:
    capture = ResponseCapture(Timeline(0), b"body")
    read(capture, b"HTTP/1.1 200 OK\r\n")
    assert capture.request == b"body"
    read(capture, b"Content-Length: 0\r\n\r\n")
    assert capture.request == b""


def test_what_is_taken_away_still_counts_in_the_offsets() -> None:
    capture = ResponseCapture(Timeline(0), b"")
    head, body = CHUNKED.split(b"\r\n\r\n", 1)
    read(capture, head + b"\r\n\r\n" + body[:11])
    assert capture.take() == b"hello "
    assert capture.has_body
    read(capture, body[11:])
    timeline = capture.finish()
    assert (timeline.payload, offsets(timeline)) == (b"world", [6, 11])


def test_not_http_is_a_parse_failure() -> None:
    capture = ResponseCapture(Timeline(0), b"")
    with pytest.raises(httptools.HttpParserError) as caught:
        read(capture, b"220 smtp.example ESMTP\r\n")
    assert failure_of(caught.value).kind == "parse"


def test_a_call_becomes_a_request() -> None:
    data = request.encode(Call("/v1/x?y=1", b"{}", (("Authorization", "Bearer k"),)), "host:80", "/prefix")
    head, body = data.split(b"\r\n\r\n")
    assert head.split(b"\r\n") == [b"POST /prefix/v1/x?y=1 HTTP/1.1", b"Host: host:80", b"Authorization: Bearer k",
                                   b"Content-Type: application/json", b"Accept-Encoding: identity",
                                   b"Content-Length: 2"]
    assert body == b"{}"


@pytest.mark.parametrize("header", [("X", "a\r\nEvil: 1"), ("X Y", "a"), ("", "a"), ("X:", "a")])
def test_a_header_can_not_break_out(header: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        request.encode(Call("/", b"", (header,)), "host")


def test_urls() -> None:
    assert split_url("http://h") == ("http", "h", 80, "")
    assert split_url("https://[::1]:8443/api/") == ("https", "::1", 8443, "/api")
    for bad in ("h:80", "ftp://h", "http://", "http://h:99999"):
        with pytest.raises(UsageError):
            split_url(bad)
