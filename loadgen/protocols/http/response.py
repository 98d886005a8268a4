"""One HTTP/1.1 answer being captured: what httptools makes of the bytes, put into a Timeline. No socket, no clock."""

from __future__ import annotations

from array import array
from struct import Struct
from typing import Any

import httptools

from loadgen.types import SECOND, Failure, Timeline

_TIMESPEC = Struct("=qq")


class ResponseCapture:
    """Collect one answer. `settle` takes the reads in `log`; `complete` says when the answer has ended.

    A connection's reader runs once a token, so all it does is to append data, stamp and time of the read to `log`.
    While `patient`, that is inside a chunked body, what is logged can wait: parsing reads one after another costs less
    than parsing each when it comes, between those of other streams.
    """

    __slots__ = ("_informational", "_length_known", "_offsets", "_parse", "_parser", "_shipped", "complete",
                 "keep_alive", "log", "patient", "payload", "reads", "request", "stamps", "timeline")

    def __init__(self, timeline: Timeline, request: bytes) -> None:
        self.timeline = timeline
        self.request = request  # to send it again; let go of once the server has answered at all
        self.complete = False
        self.keep_alive = False
        self.patient = False
        self.log: list[Any] = []  # flat: data, stamp, time of the read, data, ...
        self.payload = bytearray()
        self.stamps = bytearray()
        self.reads = array("q")
        self._offsets = array("q")
        self._shipped = 0
        self._length_known = False
        self._informational = False
        self._parser = httptools.HttpResponseParser(self)
        self._parse = self._parser.feed_data

    def settle(self) -> None:
        """Parse what is logged, up to the end of the answer. Raises httptools.HttpParserError if it isn't HTTP."""
        log, self.log = self.log, []
        parse, reads, offsets = self._parse, self.reads, self._offsets
        entries = iter(log)
        for data, stamp, now in zip(entries, entries, entries, strict=True):
            self.stamps += stamp
            reads.append(now)
            try:
                parse(data)
            finally:
                offsets.append(self._shipped + len(self.payload))
            if self.complete:
                return

    def take(self) -> bytearray:
        """Take away the payload so far, so that a long answer need not stay in this process."""
        taken = self.payload
        self._shipped += len(taken)
        self.payload = bytearray()
        return taken

    @property
    def has_body(self) -> bool:
        """Whether any byte of the answer's body has come."""
        return bool(self._shipped or self.payload)

    def end_of_stream(self) -> None:
        """The server closed: that ends an answer which gave no length (RFC 9112 section 6.3), and cuts any other."""
        if self.timeline.status > 0 and not self._length_known:
            self.complete = True
            self.keep_alive = False

    def finish(self) -> Timeline:
        """Put what was captured into the Timeline and let go of the parser, which refers back to this object."""
        timeline = self.timeline
        timeline.stamps = bytes(self.stamps)
        timeline.reads = self.reads.tobytes()
        timeline.offsets = self._offsets.tobytes()
        timeline.payload = bytes(self.payload)
        timeline.complete = self.complete
        del self._parser, self._parse
        return timeline

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            self._length_known = True
            self.patient = lower == b"transfer-encoding" and b"chunked" in value.lower()
        self.timeline.headers += lower + b": " + value + b"\r\n"

    def on_headers_complete(self) -> None:
        self.request = b""
        status = self._parser.get_status_code()
        self._informational = 100 <= status < 200
        if self._informational:
            self.patient = False
            self.timeline.headers = b""
        else:
            self.timeline.status = status

    def on_body(self, body: bytes) -> None:
        self.payload += body

    def on_message_complete(self) -> None:
        if self._informational:  # 100 Continue, 103 Early Hints: the answer proper is still to come
            self._length_known = False
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()


def pack_stamp(now: int) -> bytes:
    """The time of a read (CLOCK_REALTIME ns) in the form of the kernel's stamp."""
    return _TIMESPEC.pack(now // SECOND, now % SECOND)


def failure_of(error: Exception) -> Failure:
    """Name what went wrong while an answer was read."""
    if isinstance(error, httptools.HttpParserUpgrade):
        return Failure("parse", "the server switched protocols; only HTTP/1.1 is spoken here")
    if isinstance(error, OSError):
        return Failure("truncated", error.strerror or str(error))
    return Failure("parse", f"not HTTP/1.1: {error}")
