"""HTTP/1.1 as a server speaks it, sans I/O: requests out of bytes, responses into bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"
JSON: Final = "application/json"
LARGEST_HEAD: Final = 64 << 10
LARGEST_BODY: Final = 256 << 20


class BadRequestError(Exception):
    """Bytes that are no request this server takes; `status` is what to answer before closing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers (names in lower case); `length` is the body's."""

    method: str
    path: str  # without the query
    headers: Mapping[str, str]
    length: int
    keep_alive: bool


def take(buffer: bytes) -> tuple[Head, bytes, int] | None:
    """Take the first request off `buffer`: its head, its body and how many bytes they were; None if it is not whole.

    Raise BadRequestError for what can't become one: a broken head, a chunked body (411), one too large (413, 431).
    """
    split = buffer.find(b"\r\n\r\n")
    if split < 0:
        if len(buffer) > LARGEST_HEAD:
            raise BadRequestError(431, "the head is longer than 64 KiB")
        return None
    head = _head(buffer[:split])
    end = split + 4 + head.length
    if len(buffer) < end:
        return None
    return head, buffer[split + 4 : end], end


@lru_cache(maxsize=512)
def _head(data: bytes) -> Head:
    """Read a head; cached, because a client's heads differ little."""
    lines = data.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequestError(400, f"no HTTP/1.1 request line: {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(400, f"no header: {line[:80]!r}")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise BadRequestError(411, "write Content-Length: chunked request bodies are not taken")
    wanted = headers.get("connection", "").lower()
    keep_alive = wanted != "close" if words[2] == "HTTP/1.1" else wanted == "keep-alive"
    return Head(words[0], words[1].partition("?")[0], headers, _length(headers), keep_alive)


def _length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdecimal()):
        raise BadRequestError(400, f"no Content-Length: {text[:80]!r}")
    length = int(text[:20])
    if length > LARGEST_BODY:
        raise BadRequestError(413, "the body is larger than 256 MiB")
    return length


def chunk(data: bytes) -> bytes:
    """Frame `data` (not empty, or it would end the body) as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head_of(status: int, headers: Mapping[str, str]) -> bytes:
    """Write a status line and headers, the empty line included."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Server: loadgen-mock"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def response(status: int, body: bytes, headers: Mapping[str, str], content_type: str = JSON) -> bytes:
    """Write a whole response with its Content-Length."""
    return head_of(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}) + body
