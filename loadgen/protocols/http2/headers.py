"""HPACK header blocks (RFC 7541) that need no table: each field written out, so that any connection can carry them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_STATIC: Final = {
    (b":method", b"GET"): b"\x82", (b":method", b"POST"): b"\x83", (b":path", b"/"): b"\x84",
    (b":scheme", b"http"): b"\x86", (b":scheme", b"https"): b"\x87",
}
"""Fields of the static table that requests have, as the byte that stands for them."""
_SECRET: Final = (b"authorization", b"cookie", b"proxy-authorization")


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a header block without indexing; what is secret is marked as never to be indexed."""
    return b"".join(
        _STATIC.get(field) or (b"\x10" if field[0] in _SECRET else b"\0") + _text(field[0]) + _text(field[1])
        for field in fields)


def _text(text: bytes) -> bytes:
    """Write a string without Huffman coding: its length with a prefix of 7 bits, then its bytes."""
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    prefix = bytearray((127,))
    length -= 127
    while length >= 128:
        prefix.append(length & 127 | 128)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + text
