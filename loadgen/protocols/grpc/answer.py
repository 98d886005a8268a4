"""What a captured answer says of itself: header blocks become lines, grpc-status becomes a failure. For the desk."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from hpack import Decoder
from hpack.exceptions import HPACKError

from loadgen.protocols.grpc import status
from loadgen.protocols.grpc.messages import split
from loadgen.protocols.http2.capture import LENGTH
from loadgen.types import Failure, Timeline

_MOST_HEADERS: Final = 1 << 18
Field = tuple[bytes, bytes]


def unpack(timeline: Timeline) -> None:
    """Read the header blocks of a captured timeline: set status, headers and what they say went wrong.

    `headers` becomes "name: value" lines of headers, then trailers, with grpc-message in plain text. `complete` stays
    only if the trailers give a grpc-status: without one no answer is whole. Never raises.
    """
    blocks = _blocks(timeline.headers)
    timeline.headers = b""
    try:
        fields = [field for block in blocks for field in decode(block)]
    except (HPACKError, ValueError) as error:
        _fail(timeline, Failure("parse", f"not HTTP/2: headers can't be decoded ({error or type(error).__name__})"))
        return
    for name, value in fields:
        if name == b":status":
            if value.isdigit() and not value.startswith(b"1"):
                timeline.status = int(value[:3])
        else:
            line = name + b": " + (unquote_to_bytes(value) if name == b"grpc-message" else value)
            timeline.headers += line.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"
    _judge(timeline, dict(fields))


def _judge(timeline: Timeline, found: dict[bytes, bytes]) -> None:
    """Decide what the headers say; what the sender itself saw go wrong outranks them."""
    code = found.get(b"grpc-status")
    if timeline.failure is not None or not timeline.complete:
        timeline.complete = False
    elif code is not None:
        said = unquote_to_bytes(found.get(b"grpc-message", b"")).decode("utf-8", "replace")
        timeline.failure = status.failure_of(code.decode("latin-1"), said) or _unfit(timeline, found)
    elif timeline.status < 0 or 200 <= timeline.status < 300:
        kind = found.get(b"content-type", b"without a content-type").decode("latin-1")
        _fail(timeline, Failure("parse", f"the answer ({kind}) has no grpc-status: is this a gRPC server?"))
    else:
        timeline.complete = False  # HTTP's own refusal, told by its status


def _unfit(timeline: Timeline, found: dict[bytes, bytes]) -> Failure | None:
    """Say why an answer of status OK can't be one."""
    if timeline.status != 200:
        return Failure("parse", f"a grpc-status under HTTP status {timeline.status}")
    if not found.get(b"content-type", b"").startswith(b"application/grpc"):
        return Failure("parse", "a grpc-status without content-type application/grpc")
    messages = split(timeline.payload)
    if messages.compressed:
        return Failure("parse", "a message is compressed, which was not asked for: turn it off in the server or proxy")
    if messages.rest:
        return Failure("parse", f"the last message is cut off: {messages.rest} bytes of it came before status OK")
    return None


def _fail(timeline: Timeline, failure: Failure) -> None:
    timeline.complete = False
    timeline.failure = timeline.failure or failure


def _blocks(packed: bytes) -> list[bytes]:
    """Part the header blocks that a channel puts into a timeline."""
    found, at = [], 0
    while at < len(packed):
        (length,) = LENGTH.unpack_from(packed, at)
        found.append(packed[at + 4:at + 4 + length])
        at += 4 + length
    return found


@lru_cache(1024)
def decode(block: bytes) -> tuple[Field, ...]:
    """Decode a header block that refers to no table. Raises hpack.exceptions.HPACKError if it is malformed."""
    decoder = Decoder(max_header_list_size=_MOST_HEADERS)
    decoder.header_table_size = 0
    decoder.max_allowed_table_size = 0
    return tuple((bytes(name), bytes(value)) for name, value, *_ in decoder.decode(block, raw=True))
