"""Server-sent events: the rules one by one, and the quick road against the careful one."""

from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.protocols.sse import parse, split

PIECES = (b"data: ", b"data:", b"data", b"event: error", b"event:", b"id: 1", b"retry: 10", b": ping", b":", b" ", b"x",
          b"[DONE]", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\xef\xbb\xbf", "é".encode(), b"\xc3", b"\x00")
BODIES = st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join)
DATA = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"n").replace(b"\r", b"r"))


def test_each_rule() -> None:
    cases: dict[bytes, list[bytes]] = {
        b"data: a\n\n": [b"a"],
        b"data:a\n\n": [b"a"],
        b"data:  a\n\n": [b" a"],
        b"data: a\r\n\r\n": [b"a"],
        b"data: a\r\r": [b"a"],
        b"data: a\ndata: b\n\n": [b"a\nb"],
        b"data: a\r\ndata:\r\ndata: b\r\n\r\n": [b"a\n\nb"],
        b": ping\n\ndata: a\n\n": [b"a"],
        b"event: x\n\ndata: a\n\n": [b"a"],
        b"id: 1\nretry: 5\ndata: a\nother: b\n\n": [b"a"],
        b"\xef\xbb\xbfdata: a\n\n": [b"a"],
        b"data\n\n": [b""],
        b"data:\n\n": [b""],
        b"data:\n\ndata: a\n\n": [b"", b"a"],
        b"data: a\n\n\n\ndata: b\n\n": [b"a", b"b"],
        b"datax: a\n\n": [],
        b" data: a\n\n": [],
        b"": [],
    }
    for body, events in cases.items():
        assert split(body).data == events, body
        assert not split(body).rest, body


def test_an_event_without_its_blank_line_is_none() -> None:
    for body in (b"data: a", b"data: a\n", b"data: b\r\n", b"data: a\ndata: b\n", b": pin"):
        events = split(b"data: 0\n\n" + body)
        assert events.data == [b"0"]
        assert events.rest
    assert not split(b"data: 0\n\n: ping\n").rest


def test_names_other_than_message_are_told() -> None:
    events = split(b"event: message\ndata: a\n\nevent: error\ndata: b\n\ndata: c\n\n")
    assert events.data == [b"a", b"b", b"c"]
    assert events.names == {1: "error"}


def test_an_event_ends_with_the_first_byte_that_completes_it() -> None:
    assert split(b"data: a\n\ndata: b\n\n").ends == [9, 18]
    assert split(b"data: a\r\n\r\ndata: b\r\n\r\n").ends == [10, 21]
    assert split(b"data: a\r\rdata: b\r\r").ends == [9, 18]
    assert split(b": x\ndata: a\n\n").ends == [13]


@given(BODIES)
@example(b"data: a\n\ndata:b\n\n")
@example(b"data:a\n\ndata: b\n\n")
@example(b"data: a\r\n\r\n\r\n")
def test_quick_is_careful(body: bytes) -> None:
    assert split(body) == parse(body)


@given(BODIES, st.integers(0, 200))
def test_more_bytes_never_change_what_was_complete(body: bytes, cut: int) -> None:
    whole, part = split(body), split(body[:cut])
    known = [end for end in whole.ends if end <= cut]
    assert part.ends == known
    assert part.data == whole.data[: len(known)]


NEWLINES = st.sampled_from([b"\n", b"\r\n", b"\r"])
PREFIXES = st.sampled_from([b"data: ", b"data:"])


@given(st.lists(DATA, min_size=1, max_size=8), NEWLINES, PREFIXES)
def test_any_newline_and_any_prefix_say_the_same(data: list[bytes], newline: bytes, prefix: bytes) -> None:
    body = b"".join(prefix + one + newline * 2 for one in data)
    expected = [one.removeprefix(b" ") for one in data] if prefix == b"data:" else data
    assert split(body).data == expected
    assert not split(body).rest


def test_a_long_unfinished_line_costs_linear_time() -> None:
    assert split(b"data: a\n\n" + b"x" * 2_000_000).data == [b"a"]
