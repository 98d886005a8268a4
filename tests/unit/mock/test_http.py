"""The mock's HTTP, bytes in and bytes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.mock.http import LARGEST_HEAD, BadRequestError, chunk, head_of, response, take

POST = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Request-ID: t1\r\nContent-Length: 5\r\n\r\nhello"


def test_a_request_is_taken_whole() -> None:
    taken = take(POST)
    assert taken is not None
    head, body, length = taken
    assert (head.method, head.path, head.headers["x-request-id"], head.keep_alive) == ("POST", "/v1/x", "t1", True)
    assert (body, length) == (b"hello", len(POST))


@given(st.integers(0, len(POST) - 1))
def test_a_part_is_not_taken(size: int) -> None:
    assert take(POST[:size]) is None


@given(st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=20))
def test_pipelined_requests_come_one_after_the_other(bodies: list[bytes], rest: bytes) -> None:
    data = b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    for body in bodies:
        taken = take(data)
        assert taken is not None
        assert taken[1] == body
        data = data[taken[2] :]
    assert data == b""
    assert take(POST + rest) is not None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbroken\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"x" * (LARGEST_HEAD + 1), 431),
    ],
)
def test_what_is_no_request_has_its_status(data: bytes, status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        take(data)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("line", "keep"), [("1.1\r\n", True), ("1.1\r\nConnection: close\r\n", False), ("1.0\r\n", False),
                       ("1.0\r\nConnection: keep-alive\r\n", True)]
)  # fmt: skip
def test_keep_alive(line: str, keep: bool) -> None:
    taken = take(f"GET / HTTP/{line}\r\n".encode())
    assert taken is not None
    assert taken[0].keep_alive is keep


def test_responses_are_framed() -> None:
    assert chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"
    assert head_of(404, {"A": "b"}).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert response(200, b"{}", {}).endswith(b"Content-Length: 2\r\n\r\n{}")
