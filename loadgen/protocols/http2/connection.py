"""The client's side of one HTTP/2 connection (RFC 9113): bytes in, bytes out. No socket, no clock."""

from __future__ import annotations

from typing import Final

from loadgen.protocols.http2 import frames
from loadgen.protocols.http2.frames import END_HEADERS, END_STREAM, LARGEST, number_of
from loadgen.protocols.http2.send_queue import Outbox
from loadgen.protocols.http2.stream import Http2Stream
from loadgen.types import Failure, Timeline

_HALF: Final = 1 << 30  # bytes after which a window is made whole again
_MOST_BLOCK: Final = 1 << 18  # bytes of headers that an answer may have
_MOST_BLOCKS: Final = 16  # header blocks of one stream: informational ones, headers, trailers
_OPENING: Final = (
    frames.PREFACE
    + frames.encode_settings({frames.HEADER_TABLE_SIZE: 0, frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: LARGEST})
    + frames.encode_number(frames.WINDOW_UPDATE, 0, LARGEST - frames.DEFAULT_WINDOW))
_PROTOCOL, _FLOW, _SIZE, _REFUSED, _CANCEL = 1, 3, 6, 7, 8  # error codes


class Http2Connection:
    """Open streams, take what the server sends, and say what has become of them.

    `ended` holds streams that are over, until it is emptied by whoever reads it. After `failure` is set nothing more
    can be done but to send what is left in `outbox`. Windows are kept wide open, and no header table is allowed, so
    that each header block can be decoded by itself.
    """

    def __init__(self) -> None:
        self.outbox = Outbox(_OPENING)
        self.ended: list[Http2Stream] = []
        self.failure: Failure | None = None
        self.ready = False  # whether the server has spoken HTTP/2
        self.draining = False  # whether the server wants no further streams
        self.farewell = ""  # what it said about why
        self.max_streams = LARGEST
        self.unanswered_ping = False
        self._splitter = frames.Splitter()
        self._streams: dict[int, Http2Stream] = {}
        self._next = 1
        self._initial = frames.DEFAULT_WINDOW
        self._unacked = 0
        self._block: tuple[int, int, bytearray] | None = None  # stream, END_STREAM and what came of its header block
        self._touched: list[Http2Stream] = []
        self._handlers = {
            frames.DATA: self._data, frames.HEADERS: self._headers, frames.RST_STREAM: self._reset,
            frames.SETTINGS: self._settings, frames.PUSH_PROMISE: self._promise, frames.PING: self._ping,
            frames.GOAWAY: self._goaway, frames.WINDOW_UPDATE: self._window, frames.CONTINUATION: self._continuation}

    @property
    def room(self) -> int:
        """How many more streams can be opened now."""
        if not self.ready or self.draining or self.failure is not None or self._next >= LARGEST:
            return 0
        return max(0, self.max_streams - len(self._streams))

    # What the client does.

    def open(self, block: bytes, body: memoryview, timeline: Timeline) -> Http2Stream:
        """Begin a stream with an encoded header block and the whole body; there has to be room."""
        stream = Http2Stream(self._next, body, self._initial, timeline)
        self._next += 2
        self._streams[stream.number] = stream
        self.outbox.open(stream, block)
        return stream

    def cancel(self, stream: Http2Stream, failure: Failure) -> None:
        """Give up a stream, and tell the server."""
        if stream.number in self._streams:
            self.outbox.put(frames.encode_number(frames.RST_STREAM, stream.number, _CANCEL))
            self._end(stream, failure)

    def ping(self) -> None:
        """Ask for a sign of life; whatever comes is one."""
        self.unanswered_ping = True
        self.outbox.put(frames.encode(frames.PING, 0, 0, b"loadgen?"))

    def lost(self, failure: Failure) -> None:
        """The connection has ended: so has every stream."""
        self.failure = self.failure or failure
        for stream in list(self._streams.values()):
            self._end(stream, failure)

    def receive(self, data: bytes) -> list[Http2Stream]:
        """Take what one read gave; returns the streams that it brought something for, the one of the last part last."""
        touched: list[Http2Stream] = []
        self._touched = touched
        self.unanswered_ping = False
        for kind, flags, number, payload in self._splitter.feed(data):
            handle = self._handlers.get(kind)
            if self._block is not None and kind != frames.CONTINUATION:
                self._fail(_PROTOCOL, "a header block was interrupted")
            elif not self.ready and kind != frames.SETTINGS:
                self._fail(_PROTOCOL, "it does not begin with SETTINGS")
            elif handle is not None:
                handle(flags, number, payload)
            if self.failure is not None:
                return touched
        if self._splitter.oversized:
            self._oversized()
        return touched

    # What the server says. A handler takes flags, stream and payload of a frame.

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._unacked += size
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "DATA")
        else:
            stream.unacked += size
            if flags & frames.PADDED:
                plain = frames.unpad(flags & frames.PADDED, payload)
                if plain is None:
                    self._fail(_PROTOCOL, "the padding of DATA is longer than its payload")
                    return
                payload = plain
            if not stream.blocks:
                self._malformed(stream, "DATA came before headers")
                return
            stream.payload += payload
            stream.begun = True
            self._touch(stream)
            if stream.unacked >= _HALF and not flags & END_STREAM:
                self.outbox.put(frames.encode_number(frames.WINDOW_UPDATE, number, stream.unacked))
                stream.unacked = 0
            if flags & END_STREAM:
                self._finish(stream)
        if self._unacked >= _HALF:
            self.outbox.put(frames.encode_number(frames.WINDOW_UPDATE, 0, self._unacked))
            self._unacked = 0

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        plain = frames.unpad(flags, payload)
        if plain is None:
            self._fail(_PROTOCOL, "the padding of HEADERS is longer than its payload")
        elif self._check_known(number, "HEADERS"):
            self._block = (number, flags & END_STREAM, bytearray())
            self._continuation(flags, number, plain)

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            self._fail(_PROTOCOL, "CONTINUATION continues nothing")
            return
        _, end, block = self._block
        block += payload
        if len(block) > _MOST_BLOCK:
            self._fail(_PROTOCOL, f"a header block is longer than {_MOST_BLOCK} bytes")
        elif flags & END_HEADERS:
            self._block = None
            stream = self._streams.get(number)
            if stream is not None:
                self._take_block(stream, bytes(block), bool(end))

    def _take_block(self, stream: Http2Stream, block: bytes, end: bool) -> None:
        self._touch(stream)
        if (stream.begun and not end) or len(stream.blocks) >= _MOST_BLOCKS:
            self._malformed(stream, "headers came where none may be")
            return
        stream.blocks.append(block)
        if end:
            self._finish(stream)

    def _reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            self._fail(_SIZE, f"RST_STREAM of {len(payload)} bytes")
        elif self._check_known(number, "RST_STREAM") and number in self._streams:
            stream, code = self._streams[number], number_of(payload)
            stream.refused = code == _REFUSED and not stream.blocks
            name = frames.error_name(code)
            self._end(stream, Failure("truncated", f"the server reset the stream: {name}", name))

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) % 6 or (flags & frames.ACK and payload):
            self._fail(_SIZE, "malformed SETTINGS")
        elif flags & frames.ACK:
            if not self.ready:
                self._fail(_PROTOCOL, "it does not begin with SETTINGS")
        else:
            for name, value in frames.settings_of(payload):
                self._set(name, value)
            self.ready = True
            self.outbox.put(frames.encode(frames.SETTINGS, frames.ACK, 0))

    def _set(self, name: int, value: int) -> None:
        if name == frames.MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.FRAME_SIZE <= value < 1 << 24:
                self._fail(_PROTOCOL, f"MAX_FRAME_SIZE {value}")
            self.outbox.frame_size = max(frames.FRAME_SIZE, min(value, 1 << 16))
        elif name == frames.INITIAL_WINDOW_SIZE:
            change, self._initial = value - self._initial, value
            widened = [self.outbox.widen(stream, change) for stream in self._streams.values()]
            if value > LARGEST or not all(widened):
                self._fail(_FLOW, f"INITIAL_WINDOW_SIZE {value}")

    def _promise(self, flags: int, number: int, payload: bytes) -> None:
        self._fail(_PROTOCOL, "PUSH_PROMISE, which was not allowed")

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            self._fail(_SIZE, "malformed PING")
        elif not flags & frames.ACK:
            self.outbox.put(frames.encode(frames.PING, frames.ACK, 0, payload))

    def _goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) < 8:
            self._fail(_SIZE, "malformed GOAWAY")
            return
        last, name = number_of(payload) & LARGEST, frames.error_name(number_of(payload, 4))
        said = payload[8:200].decode("utf-8", "replace")
        self.farewell = f"GOAWAY {name}" + (f": {said}" if said else "")
        self.draining = True
        for stream in [stream for stream in self._streams.values() if stream.number > last]:
            stream.refused = not stream.blocks
            self._end(stream, Failure("truncated", f"the server refused the stream: {self.farewell}", name))

    def _window(self, flags: int, number: int, payload: bytes) -> None:
        increment = number_of(payload) & LARGEST if len(payload) == 4 else 0
        stream = self._streams.get(number)
        if not increment and stream is not None and len(payload) == 4:
            self._malformed(stream, "a WINDOW_UPDATE of 0")
        elif not increment:
            self._fail(_PROTOCOL, "malformed WINDOW_UPDATE")
        elif not number:
            if not self.outbox.widen_all(increment):
                self._fail(_FLOW, "the window of the connection is too large")
        elif stream is None:
            self._check_known(number, "WINDOW_UPDATE")
        elif not self.outbox.widen(stream, increment):
            self._malformed(stream, "its window is too large")

    # What becomes of streams.

    def _touch(self, stream: Http2Stream) -> None:
        touched = self._touched
        if not touched:
            touched.append(stream)
        elif touched[-1] is not stream:
            if stream in touched:
                touched.remove(stream)
            touched.append(stream)

    def _finish(self, stream: Http2Stream) -> None:
        """The server has ended a stream: what is left of the request need not be sent."""
        stream.complete = True
        if stream.body:
            self.outbox.put(frames.encode_number(frames.RST_STREAM, stream.number, _CANCEL))
        self._end(stream, None)

    def _end(self, stream: Http2Stream, failure: Failure | None) -> None:
        del self._streams[stream.number]
        stream.failure = failure
        stream.body = stream.body[:0]
        self.ended.append(stream)

    def _malformed(self, stream: Http2Stream, words: str) -> None:
        self.outbox.put(frames.encode_number(frames.RST_STREAM, stream.number, _PROTOCOL))
        self._end(stream, Failure("parse", f"not HTTP/2: {words}"))

    def _check_known(self, number: int, what: str) -> bool:
        """Whether a stream was ever opened; what comes for others breaks the connection."""
        if number & 1 and number < self._next:
            return True
        self._fail(_PROTOCOL, f"{what} for stream {number}, which was never opened")
        return False

    def _oversized(self) -> None:
        if self.ready:
            self._fail(_SIZE, f"a frame of {self._splitter.oversized} bytes")
        else:
            self._fail(_SIZE, "it begins with " + ascii(self._splitter.rest[:40].decode("latin-1")))

    def _fail(self, code: int, words: str) -> None:
        """Break the connection off: what the server sends can't be understood."""
        self.outbox.put(frames.encode(frames.GOAWAY, 0, 0, bytes(7) + bytes((code,))))
        self.lost(Failure("parse", f"not HTTP/2: {words}"))
