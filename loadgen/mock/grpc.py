"""gRPC as a server speaks it: one HTTP/2 connection, and its streams, each of which stands for a Connection."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from hpack import Decoder
from hpack.exceptions import HPACKError

from loadgen.mock.http import JSON, Head
from loadgen.protocols.grpc.request import frame
from loadgen.protocols.grpc.status import NAMES
from loadgen.protocols.http2 import frames, headers

if TYPE_CHECKING:
    from loadgen.mock.stream import AnswerStream

_FIRST: Final = ((b":status", b"200"), (b"content-type", b"application/grpc"))
HEAD: Final = headers.encode(_FIRST)
CODES: Final = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED",
                429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE"}
"""HTTP statuses, as dialects refuse with them, and the grpc-status of each."""
HANG_UPS: Final = {"reset": "INTERNAL_ERROR", "close": "CANCEL", "refuse": "REFUSED_STREAM"}
"""How a stream ends that a fault breaks off, without a word to the others of its connection."""
_LARGEST_FRAME: Final = 1 << 20

Unary = Callable[[str, bytes], bytes | None]
"""Answer a call of the control plane: path, message; None for any other call."""
_PREFIX: Final = struct.Struct(">BI")


class Wire(Protocol):
    """The connection below a session; `alive` turns False for good when the peer is gone, or speaks no HTTP/2."""

    alive: bool

    def write(self, data: bytes) -> bool:
        """Hand `data` to the kernel, or keep what it does not take; False if the peer is gone."""


class Handler(Protocol):
    """Who answers the requests of a session."""

    @property
    def paths(self) -> Collection[str]:
        """The paths of calls that generate."""

    def handle(self, head: Head, body: bytes, connection: GrpcStream) -> None:
        """Take one request: reply at once, or leave a stream in `connection.stream`."""

    def abandon(self, stream: AnswerStream) -> None:
        """Book a stream whose client has hung up."""


class GrpcStream:
    """One stream; to Stream and Service a connection that is theirs alone. First written is the header block."""

    __slots__ = ("_begun", "_ending", "_waiting", "body", "closing", "head", "number", "session", "stream", "window")

    grpc = True

    def __init__(self, session: Session, number: int, window: int) -> None:
        self.session, self.number, self.window = session, number, window
        self.stream: AnswerStream | None = None
        self.closing = False  # the service wants it closed without an answer
        self.head: Head | None = None
        self.body = b""
        self._waiting = b""  # messages that the client's window does not take yet
        self._ending = b""
        self._begun = False

    @property
    def alive(self) -> bool:
        return self.session.connection.alive

    def write(self, data: bytes) -> bool:
        """Send the header block, later messages; False if the client is gone."""
        if not self._begun:
            self._begun = True
            return self.session.connection.write(frames.encode(frames.HEADERS, frames.END_HEADERS, self.number, data))
        self._waiting += data
        return self.flush()

    def flush(self) -> bool:
        """Send as much as the windows of stream and connection take."""
        session, sent = self.session, b""
        while self._waiting and (room := min(self.window, session.window, frames.FRAME_SIZE)) > 0:
            piece, self._waiting = self._waiting[:room], self._waiting[room:]
            self.window -= len(piece)
            session.window -= len(piece)
            sent += frames.encode(frames.DATA, 0, self.number, piece)
        if not self._waiting and self._ending:
            sent, self._ending = sent + self._ending, b""
            session.forget(self.number)
        return session.connection.write(sent) if sent else self.alive

    def reply(self, status: int, body: bytes, extra: Mapping[str, str], content_type: str = JSON) -> None:
        """Answer at once: with a message if `status` is 200, with a grpc-status and the words of `body` else."""
        if status == 200:
            self.write(HEAD)
            self.write(body)
            self.end("")
        elif status in CODES:
            self._begun = True
            self._end_with(CODES[status], _words(body), _FIRST)
        else:
            self._begun = True
            fields = ((b":status", str(status).encode()), *((n.lower().encode(), v.encode()) for n, v in extra.items()))
            self._finish(headers.encode(fields))

    def end(self, hang_up: str) -> None:
        """End the stream: with grpc-status OK, or as a fault breaks it off."""
        if hang_up:
            code = frames.ERRORS.index(HANG_UPS[hang_up])
            self._waiting = b""
            self.session.connection.write(frames.encode_number(frames.RST_STREAM, self.number, code))
            self.session.forget(self.number)
        else:
            self._end_with("OK", "", ())

    def _end_with(self, name: str, message: str, first: tuple[tuple[bytes, bytes], ...]) -> None:
        fields = [*first, (b"grpc-status", str(NAMES.index(name)).encode())]
        if message:
            fields.append((b"grpc-message", "".join(c if " " <= c <= "~" and c != "%" else "".join(
                f"%{byte:02X}" for byte in c.encode()) for c in message).encode()))
        self._finish(headers.encode(fields))

    def _finish(self, block: bytes) -> None:
        flags = frames.END_HEADERS | frames.END_STREAM
        self._ending = frames.encode(frames.HEADERS, flags, self.number, block)
        self.flush()


class Session:
    """One HTTP/2 connection of a client. `feed` takes what has come; requests go to the service, or to `unary`."""

    def __init__(self, connection: Wire, service: Handler, unary: Unary) -> None:
        self.connection, self.service = connection, service
        self._unary = unary
        self.channels: dict[int, GrpcStream] = {}
        self.window = frames.DEFAULT_WINDOW  # what the client takes over all streams
        self._initial = frames.DEFAULT_WINDOW
        self._preface = frames.PREFACE
        self._splitter = frames.Splitter(_LARGEST_FRAME)
        self._decoder = Decoder()
        self._block = b""
        self._act = {frames.SETTINGS: self._settings, frames.PING: self._ping, frames.HEADERS: self._headers,
                     frames.CONTINUATION: self._headers, frames.DATA: self._data, frames.RST_STREAM: self._reset,
                     frames.WINDOW_UPDATE: self._more}
        connection.write(frames.encode_settings({frames.MAX_CONCURRENT_STREAMS: 1 << 20,
                                                 frames.INITIAL_WINDOW_SIZE: frames.LARGEST,
                                                 frames.MAX_FRAME_SIZE: _LARGEST_FRAME})
                         + frames.encode_number(frames.WINDOW_UPDATE, 0, frames.LARGEST - frames.DEFAULT_WINDOW))

    def feed(self, data: bytes) -> None:
        """Take bytes of the client. What is no HTTP/2 closes the connection."""
        skipped = min(len(self._preface), len(data))
        if data[:skipped] != self._preface[:skipped]:
            self.connection.alive = False
            return
        self._preface = self._preface[skipped:]
        try:
            for kind, flags, stream, payload in self._splitter.feed(data[skipped:]):
                if kind in self._act:
                    self._act[kind](flags, stream, payload)
        except (HPACKError, struct.error, UnicodeDecodeError, KeyError):
            self.connection.alive = False
        if self._splitter.oversized:
            self.connection.alive = False

    def forget(self, number: int) -> None:
        """Drop a stream that is over."""
        self.channels.pop(number, None)

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        for name, value in frames.settings_of(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                for channel in self.channels.values():
                    channel.window += value - self._initial
                self._initial = value
        self.connection.write(frames.encode(frames.SETTINGS, frames.ACK, 0))

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self.connection.write(frames.encode(frames.PING, frames.ACK, 0, payload))

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        """Collect a header block; CONTINUATION frames have no padding and no priority."""
        self._block += (frames.unpad(flags & ~frames.END_STREAM, payload) or b"") if not self._block else payload
        if not flags & frames.END_HEADERS:
            return
        block, self._block = self._block, b""
        fields = {_text(name): _text(value) for name, value, *_ in self._decoder.decode(block, raw=True)}
        if stream not in self.channels and ":path" in fields:
            channel = GrpcStream(self, stream, self._initial)
            channel.head = Head("POST", fields[":path"].partition("?")[0], fields, 0, True)
            self.channels[stream] = channel

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        """Collect a message; the first whole one of a stream is its request."""
        if payload:
            self.connection.write(frames.encode_number(frames.WINDOW_UPDATE, 0, len(payload)))
        channel = self.channels.get(stream)
        if channel is None or channel.head is None:
            return
        channel.body += frames.unpad(flags & ~(frames.END_STREAM | frames.PRIORITY), payload) or b""
        if len(channel.body) >= _PREFIX.size:
            _, length = _PREFIX.unpack_from(channel.body)
            if len(channel.body) >= _PREFIX.size + length:
                head, channel.head = channel.head, None
                self._serve(channel, head, channel.body[_PREFIX.size:_PREFIX.size + length])

    def _serve(self, channel: GrpcStream, head: Head, message: bytes) -> None:
        answer = self._unary(head.path, message)
        if answer is not None:
            channel.reply(200, frame(answer), {})
        elif head.path in self.service.paths:
            self.service.handle(head, message, channel)
        else:
            channel.reply(501, b'{"error": "ModelStreamInfer alone is served: the model is decoupled"}', {})
        if channel.closing:
            channel.end("refuse")

    def _reset(self, flags: int, stream: int, payload: bytes) -> None:
        channel = self.channels.pop(stream, None)
        if channel is not None and channel.stream is not None:
            gone, channel.stream = channel.stream, None
            self.service.abandon(gone)

    def _more(self, flags: int, stream: int, payload: bytes) -> None:
        """The client takes more: send what waits."""
        if stream:
            if stream in self.channels:
                self.channels[stream].window += frames.number_of(payload)
                self.channels[stream].flush()
            return
        self.window += frames.number_of(payload)
        for channel in list(self.channels.values()):
            channel.flush()

    def abandon(self) -> None:
        """Book the streams of a connection that is gone."""
        for channel in self.channels.values():
            if channel.stream is not None:
                self.service.abandon(channel.stream)
        self.channels.clear()


def _words(body: bytes) -> str:
    """Return the message of an error in the JSON of HTTP."""
    return str(msgspec.json.decode(body)["error"])


def _text(data: bytes | str) -> str:
    return data.decode("latin-1") if isinstance(data, bytes) else data
