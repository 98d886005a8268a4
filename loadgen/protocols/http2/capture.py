"""One answer being captured from a stream: its reads and their stamps, put into a Timeline. No socket, no clock."""

from __future__ import annotations

from array import array
from asyncio import TimerHandle
from struct import Struct
from typing import Final

from loadgen.protocols.http.response import pack_stamp
from loadgen.protocols.http2.stream import Http2Stream
from loadgen.types import Timeline

LENGTH: Final = Struct("=I")
"""Stands before the header block in what is launched, and before each header block in Timeline.headers."""


class StreamCapture:
    """What a channel keeps of a request in flight. Its reader appends to `stamps`, `reads` and `offsets` itself."""

    __slots__ = ("offsets", "reads", "request", "seen", "shared", "shipped", "stamps", "stream", "timeline", "timer")

    def __init__(self, timeline: Timeline, stream: Http2Stream, request: bytes, seen: int) -> None:
        self.timeline = timeline
        self.stream = stream
        self.request = request  # to send it again; let go of once the server has answered at all
        self.seen = seen  # reads of the channel before it was sent
        self.stamps = bytearray()
        self.reads = array("q")
        self.offsets = array("q")
        self.shared = array("q")
        self.shipped = 0
        self.timer: TimerHandle | None = None

    def unstamped(self, now: int) -> None:
        """The first reads of a connection can lack the kernel's stamp; the time of the read stands in."""
        self.stamps += pack_stamp(now)
        self.timeline.unstamped += 1

    def take(self) -> bytearray:
        """Take away the payload so far, so that a long answer need not stay in this process."""
        taken = self.stream.payload
        self.shipped += len(taken)
        self.stream.payload = bytearray()
        return taken

    def finish(self, end: int) -> Timeline:
        """Put what was captured into the Timeline; its headers are the header blocks as they came."""
        timeline, stream = self.timeline, self.stream
        timeline.end = end
        timeline.stamps = bytes(self.stamps)
        timeline.reads = self.reads.tobytes()
        timeline.offsets = self.offsets.tobytes()
        timeline.shared = self.shared.tobytes()
        timeline.payload = bytes(stream.payload)
        timeline.headers = b"".join(LENGTH.pack(len(block)) + block for block in stream.blocks)
        timeline.complete = stream.complete
        timeline.failure = stream.failure
        return timeline
