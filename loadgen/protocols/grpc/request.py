"""A Call as what a channel launches: length of the header block, header block, one length-prefixed message."""

from __future__ import annotations

from struct import Struct
from typing import Final

from loadgen.protocols.http2 import headers
from loadgen.protocols.http2.capture import LENGTH
from loadgen.types import Call, UsageError

_PREFIX: Final = Struct(">BI")  # compressed or not, length
_UNITS: Final = ((1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
                 (3_600_000_000_000, "H"))
_OURS: Final = ("content-type", "user-agent")  # ours unless a call gives them, and JSON's never are
_TAKEN: Final = ("connection", "content-length", "grpc-encoding", "grpc-timeout", "host", "keep-alive", "te",
                 "transfer-encoding", "upgrade")


def encode(call: Call, authority: str, prefix: str = "", *, secure: bool = False, timeout: int = 0) -> bytes:
    """Serialise a Call whose body is a serialised message; `timeout` is the deadline in ns, 0 for none.

    Raises UsageError for metadata that gRPC can't carry.
    """
    fields = [(":method", "POST"), (":scheme", "https" if secure else "http"), (":path", prefix + call.path),
              (":authority", authority), ("te", "trailers"), ("content-type", "application/grpc"),
              ("user-agent", "loadgen")]
    if timeout:
        fields.append(("grpc-timeout", timeout_text(timeout)))
    fields += _metadata(call.headers)
    block = headers.encode((name.encode("ascii"), value.encode("ascii")) for name, value in fields)
    return b"".join((LENGTH.pack(len(block)), block, frame(call.body)))


def frame(message: bytes) -> bytes:
    """Put the prefix before a message."""
    return _PREFIX.pack(0, len(message)) + message


def timeout_text(timeout: int) -> str:
    """Write a time in ns as grpc-timeout has it: at most 8 digits and a unit, rounded up."""
    for size, unit in _UNITS:
        count = -(-timeout // size)
        if count < 100_000_000:
            return f"{count}{unit}"
    return "99999999H"


def _metadata(given: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    found = []
    for name, value in given:
        name = name.lower()
        if name in _OURS:
            continue
        if name in _TAKEN:
            raise UsageError(f"header {name!r}: gRPC sets it itself: leave it out")
        if not name or not all(c.isalnum() or c in "_-." for c in name) or not name.isascii():
            raise UsageError(f"header {name!r}: metadata has names of letters, digits, '-', '_' and '.'")
        if not all(" " <= c <= "~" for c in value):
            raise UsageError(f"header {name!r}: metadata is printable ASCII: give base64 and a name that ends in -bin")
        found.append((name, value))
    return found
