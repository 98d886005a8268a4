"""What a connection has to send, in order, within the windows that the server gives (RFC 9113, section 5.2)."""

from __future__ import annotations

from collections import deque
from typing import Final

from loadgen.protocols.http2 import frames
from loadgen.protocols.http2.frames import END_STREAM, LARGEST, encode
from loadgen.protocols.http2.stream import Http2Stream

_PIECE: Final = 65536  # bytes that are handed out at a time, but for what is small


class Outbox:
    """Frames that wait to be handed to the kernel. `take` gives them; `begun` and `finished` say what that holds.

    Bodies of several streams go out in turn, a frame of each.
    """

    __slots__ = ("_begun", "_finished", "_frames", "_ready", "begun", "finished", "frame_size", "window")

    def __init__(self, opening: bytes) -> None:
        self._frames = bytearray(opening)
        self._ready: deque[Http2Stream] = deque()  # streams that have a body to send and a window for it
        self.window = frames.DEFAULT_WINDOW  # of the connection; streams have their own
        self.frame_size = frames.FRAME_SIZE
        self.begun: list[Http2Stream] = []  # streams whose first byte is in what was taken last
        self.finished: list[Http2Stream] = []  # streams whose last byte is
        self._begun: list[Http2Stream] = []  # the same of what will be taken next
        self._finished: list[Http2Stream] = []

    @property
    def pending(self) -> bool:
        """Whether there is anything that may be sent now."""
        return bool(self._frames or (self._ready and self.window > 0))

    def put(self, frame: bytes) -> None:
        """Add a frame that flow control does not hold back."""
        self._frames += frame

    def open(self, stream: Http2Stream, block: bytes) -> None:
        """Add the headers of a stream, and its body as far as it may go."""
        size, end = self.frame_size, 0 if stream.body else END_STREAM
        rest = block[size:]
        self._frames += encode(frames.HEADERS, end | (0 if rest else frames.END_HEADERS), stream.number, block[:size])
        while rest:
            piece, rest = rest[:size], rest[size:]
            self._frames += encode(frames.CONTINUATION, 0 if rest else frames.END_HEADERS, stream.number, piece)
        self._begun.append(stream)
        if stream.body:
            self.resume(stream)
        else:
            self._finished.append(stream)

    def resume(self, stream: Http2Stream) -> None:
        """Let a stream have its turn again, if it has something to send and may."""
        if stream.body and stream.window > 0 and not stream.queued:
            stream.queued = True
            self._ready.append(stream)

    def widen(self, stream: Http2Stream, increment: int) -> bool:
        """Let a stream send so much more (less, if negative); false if its window grows too large."""
        stream.window += increment
        self.resume(stream)
        return stream.window <= LARGEST

    def widen_all(self, increment: int) -> bool:
        """Let the connection send so much more; false if its window grows too large."""
        self.window += increment
        return self.window <= LARGEST

    def take(self) -> bytearray:
        """Take what may be sent now, about a piece of it."""
        ready = self._ready
        while ready and self.window > 0 and len(self._frames) < _PIECE:
            stream = ready.popleft()
            stream.queued = False
            self._send_some(stream)
        taken, self._frames = self._frames, bytearray()
        self.begun, self._begun = self._begun, []
        self.finished, self._finished = self._finished, []
        return taken

    def _send_some(self, stream: Http2Stream) -> None:
        body = stream.body
        if not body or stream.window <= 0:  # it has ended, or its window was taken back
            return
        size = min(len(body), self.frame_size, self.window, stream.window)
        self.window -= size
        stream.window -= size
        stream.body = body[size:]
        self._frames += encode(frames.DATA, 0 if stream.body else END_STREAM, stream.number, body[:size])
        if stream.body:
            self.resume(stream)
        else:
            self._finished.append(stream)
