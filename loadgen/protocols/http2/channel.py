"""One open HTTP/2 connection on a socket: many requests at once, each captured with kernel stamps."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from time import monotonic_ns, time_ns
from typing import Final, Protocol

from loadgen.protocols.http.dial import Dial
from loadgen.protocols.http.limits import Limits, judge
from loadgen.protocols.http2.capture import LENGTH, StreamCapture
from loadgen.protocols.http2.connection import Http2Connection
from loadgen.protocols.http2.writer import Writer
from loadgen.types import SECOND, Failure, Timeline

_READ_SIZE: Final = 65536
_SHIP_AT: Final = 16384  # bytes of payload that stay here before they are handed on


class ChannelOwner(Protocol):
    """Who a channel reports to."""

    def opened(self, channel: Http2Channel, failure: Failure | None) -> None:
        """The server has spoken HTTP/2, or this is why the channel can't be used."""

    def ended(self, channel: Http2Channel, timeline: Timeline, unanswered: bytes) -> None:
        """A request is over, well or not. `unanswered` is the request if it can be sent again elsewhere, else empty."""

    def roomier(self, channel: Http2Channel) -> None:
        """The server may take more streams than before."""

    def closed(self, channel: Http2Channel, idle: bool) -> None:
        """An opened channel has ended; `idle` if the server ended it while nothing was in flight."""

    def fragment(self, index: int, payload: bytearray) -> None:
        """A part of a long answer, to be put before what its timeline will hold."""


class Http2Channel:
    """Carry requests, side by side, over a socket that a Dial has opened."""

    __slots__ = ("_flights", "_http2", "_idle", "_keep_alive", "_limits", "_loop", "_max_streams", "_open", "_owner",
                 "_pulse", "_reads", "_recvmsg", "_seen", "_served", "_socket", "_tls", "_writer", "connect_time",
                 "target", "tls_time")

    def __init__(self, loop: AbstractEventLoop, owner: ChannelOwner, dial: Dial, target: int, limits: Limits,
                 keep_alive: int = 0) -> None:
        assert dial.socket is not None
        self._loop = loop
        self._owner = owner
        self._limits = limits
        self._keep_alive = keep_alive
        self._socket = dial.socket
        self._recvmsg = dial.socket.recvmsg
        self._tls = dial.tls
        self._http2 = Http2Connection()
        self._flights: dict[int, StreamCapture] = {}
        self._writer = Writer(loop, dial.socket, dial.tls, self._http2.outbox, self._lose)
        self._open = False
        self._max_streams = self._http2.max_streams
        self._pulse: TimerHandle | None = None  # the next look at whether the server is alive
        self._reads = 0
        self._seen = 0  # reads at the last such look
        self._served = False  # whether a request was ever answered
        self._idle = True  # whether nothing was in flight before what came last
        self.target = target
        self.connect_time, self.tls_time = dial.connect_time, dial.tls_time
        loop.add_reader(self._socket, self._read if self._tls is None else self._read_tls)
        loop.call_soon(self._greet)

    @property
    def room(self) -> int:
        """How many more requests it can take now."""
        return self._http2.room if self._open else 0

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def _greet(self) -> None:
        """Send the preface. A TLS server's first words can have come with the last of the handshake."""
        if self._socket.fileno() < 0:
            return
        if self._limits.connect:
            self._pulse = self._loop.call_later(self._limits.connect / SECOND, self._unwelcome)
        self._writer.flush()
        if self._tls is not None and self._tls.alpn not in ("h2", None):
            self._lose(Failure("tls", f"the server speaks {self._tls.alpn}, not HTTP/2"))
        elif self._tls is not None:
            self._take(self._tls.decrypt(b""), None, time_ns())

    def _unwelcome(self) -> None:
        words = f"connect: no HTTP/2 settings within {self._limits.connect / SECOND:g} s"
        self._lose(Failure("timeout", words, "connect"))

    # Sending.

    def start(self, timeline: Timeline, data: bytes) -> None:
        """Send one request (length of the header block, header block, body) and capture its answer.

        There has to be room. `timeline.sent` is stamped when its first byte goes to the kernel.
        """
        (size,) = LENGTH.unpack_from(data)
        stream = self._http2.open(data[4:4 + size], memoryview(data)[4 + size:], timeline)
        capture = StreamCapture(timeline, stream, data, self._reads)
        self._flights[stream.number] = capture
        self._writer.flush()
        if self._limits.watched:
            self._arm(capture, judge(self._limits, 0, None)[1])

    # Receiving. The first two functions run once a message: keep them flat.

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._recvmsg(_READ_SIZE, 64)
        except OSError as error:
            self._unread(error)
            return
        now = time_ns()
        if data:
            self._take(data, ancillary[0][2] if ancillary else None, now)
        else:
            self._lose(None)

    def _take(self, data: bytes, stamp: bytes | None, now: int) -> None:
        http2, flights = self._http2, self._flights
        self._reads += 1
        touched = http2.receive(data)
        for stream in touched:
            capture = flights[stream.number]
            if stamp is not None:
                capture.stamps += stamp
            else:
                capture.unstamped(now)
            capture.request = b""
            if stream is not touched[-1]:  # the stamp is that of what came last
                capture.shared.append(len(capture.reads))
            capture.reads.append(now)
            capture.offsets.append(capture.shipped + len(stream.payload))
            if len(stream.payload) >= _SHIP_AT:
                self._owner.fragment(capture.timeline.index, capture.take())
        if http2.outbox.pending:
            self._writer.flush()
        if http2.ended or http2.failure is not None or http2.max_streams != self._max_streams or not self._open:
            self._settle()

    def _read_tls(self) -> None:
        assert self._tls is not None
        try:
            data, ancillary, _, _ = self._recvmsg(_READ_SIZE, 64)
            now = time_ns()
            plain = self._tls.decrypt(data) if data else b""
        except OSError as error:  # SSLError is one too
            self._unread(error)
            return
        reply = self._tls.outgoing()
        if reply:
            self._writer.insert(reply)
        if plain:
            self._take(plain, ancillary[0][2] if ancillary else None, now)
        if self._socket.fileno() >= 0 and (not data or self._tls.ended):
            self._lose(None)

    def _unread(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._lose(Failure("truncated", error.strerror or str(error)))

    # What becomes of requests.

    def _settle(self) -> None:
        """Report what a read has changed: ended requests, room for more, the end of the channel."""
        http2 = self._http2
        self._idle = not self._flights
        if not self._open and http2.ready and http2.failure is None:
            self._open = True
            self._stop_pulse()
            self._beat()
            self._owner.opened(self, None)
        self._report_ended()
        if http2.failure is not None:
            self._shut(http2.failure)
        elif http2.max_streams != self._max_streams:
            self._max_streams = http2.max_streams
            self._owner.roomier(self)
        elif http2.draining and not self._flights:
            self._shut(Failure("connect", http2.farewell))

    def _report_ended(self) -> None:
        ended, self._http2.ended = self._http2.ended, []
        for stream in ended:
            capture = self._flights.pop(stream.number)
            if capture.timer is not None:
                capture.timer.cancel()
            again = stream.refused or self._is_stale(capture)
            self._served = self._served or stream.complete
            self._owner.ended(self, capture.finish(monotonic_ns()), capture.request if again else b"")

    def _is_stale(self, capture: StreamCapture) -> bool:
        """Whether the channel had served before and gave not one byte since this request was sent."""
        failure = self._http2.failure
        return failure is not None and failure.kind == "truncated" and self._served and capture.seen == self._reads

    def cancel(self, failure: Failure) -> None:
        """Give up everything in flight; the channel stays open."""
        for capture in list(self._flights.values()):
            self._http2.cancel(capture.stream, failure)
        self._writer.flush()
        self._report_ended()

    # The end of a channel.

    def _lose(self, failure: Failure | None) -> None:
        """The connection is gone, by the server's will if there is no failure."""
        if self._socket.fileno() < 0:
            return
        if failure is None:
            said = f" ({self._http2.farewell})" if self._http2.farewell else ""
            if self._open:
                failure = Failure("truncated", f"the server closed the connection{said}")
            else:
                failure = Failure("connect", f"the server closed the connection{said} before its HTTP/2 settings: does "
                                             "it speak HTTP/2 on this port?")
        self._http2.lost(failure)
        self._settle()

    def _shut(self, failure: Failure) -> None:
        if self._socket.fileno() < 0:
            return
        was_open, self._open = self._open, False
        self.close()
        if was_open:
            self._owner.closed(self, self._idle)
        else:
            self._owner.opened(self, failure)

    def close(self) -> None:
        """Close the socket; nothing more is reported."""
        self._open = False
        self._stop_pulse()
        for capture in self._flights.values():
            if capture.timer is not None:
                capture.timer.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    # Time.

    def _arm(self, capture: StreamCapture, wait: int) -> None:
        capture.timer = self._loop.call_later(max(wait, 1_000_000) / SECOND, self._check_limits, capture)

    def _check_limits(self, capture: StreamCapture) -> None:
        since_read = time_ns() - capture.reads[-1] if capture.stream.begun else None
        since_sent = monotonic_ns() - capture.timeline.sent if capture.timeline.sent >= 0 else 0
        failure, wait = judge(self._limits, since_sent, since_read)
        if failure is None:
            self._arm(capture, wait)
        else:
            self._http2.cancel(capture.stream, failure)
            self._writer.flush()
            self._report_ended()

    def _beat(self) -> None:
        """Keep-alive: ask a server that has been silent with requests in flight, and give it up if it stays so."""
        self._pulse = None
        if self._http2.unanswered_ping:
            waited = f"{self._keep_alive / SECOND:g} s"
            self._lose(Failure("truncated", f"no answer to a PING within {waited}", "keep-alive"))
            return
        if self._flights and self._reads == self._seen:
            self._http2.ping()
            self._writer.flush()
        self._seen = self._reads
        if self._keep_alive:
            self._pulse = self._loop.call_later(self._keep_alive / SECOND, self._beat)

    def _stop_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
