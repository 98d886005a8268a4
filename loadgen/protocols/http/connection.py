"""One open HTTP/1.1 connection: send a request, capture the reads of its answer with kernel stamps."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from time import monotonic_ns, time_ns
from typing import Protocol

from loadgen.protocols.http.dial import Dial
from loadgen.protocols.http.limits import Limits, judge
from loadgen.protocols.http.read_batching import Intake
from loadgen.protocols.http.response import ResponseCapture, failure_of, pack_stamp
from loadgen.types import SECOND, Failure, Timeline

_READ_SIZE = 65536
_SHIP_AT = 16384  # bytes of payload that stay here before they are handed on
_MOST_LOGGED = 3 * 64  # entries of the log: three for each read that waits to be parsed
_BUFFER = memoryview(bytearray(_READ_SIZE))  # of all connections: nothing stays in it
_BUFFERS = (_BUFFER,)
_LAST = b"\r\n\r\n"  # how every chunked body ends


class ConnectionOwner(Protocol):
    """Who a connection reports to."""

    def ended(self, connection: HttpConnection, timeline: Timeline, unanswered: bytes) -> None:
        """A request is over, well or not. The connection can take the next one if it is `usable`.

        `unanswered` is the request if a reused connection was closed before a byte of answer came, else empty.
        """

    def dropped(self, connection: HttpConnection) -> None:
        """The server closed while nothing was in flight."""

    def fragment(self, index: int, payload: bytearray) -> None:
        """A part of a long answer, to be put before what its timeline will hold."""


class HttpConnection:
    """Carry one request after another over a socket that a Dial has opened."""

    __slots__ = ("_capture", "_intake", "_limits", "_loop", "_out", "_owner", "_recvmsg", "_recvmsg_into", "_socket",
                 "_timer", "_tls", "_wants", "carried", "target", "usable")

    def __init__(self, loop: AbstractEventLoop, intake: Intake, owner: ConnectionOwner, dial: Dial, target: int,
                 limits: Limits) -> None:
        assert dial.socket is not None
        self._loop = loop
        self._intake = intake
        self._owner = owner
        self._limits = limits
        self._socket = dial.socket
        self._recvmsg = dial.socket.recvmsg
        self._recvmsg_into = dial.socket.recvmsg_into
        self._tls = dial.tls
        self._capture: ResponseCapture | None = None
        self._timer: TimerHandle | None = None
        self._out = memoryview(b"")
        self._wants = False  # whether the loop tells us when the socket takes more
        self.target = target
        self.carried = 0
        self.usable = True
        intake.add(self._socket, self._read if self._tls is None else self._read_tls)

    # Sending.

    def start(self, timeline: Timeline, data: bytes) -> None:
        """Send one request and capture its answer into `timeline`, whose `sent` is stamped here."""
        self._capture = ResponseCapture(timeline, data)
        self.usable = False
        self.carried += 1
        if self._tls is not None:
            data = self._tls.encrypt(data)
        timeline.sent = monotonic_ns()
        self._transmit(data)
        if self._limits.watched:
            self._arm(judge(self._limits, 0, None)[1])

    def _transmit(self, data: bytes) -> None:
        if self._out:
            self._out = memoryview(bytes(self._out) + data)
        else:
            self._out = memoryview(data)
            self._flush()

    def _flush(self) -> None:
        try:
            self._out = self._out[self._socket.send(self._out):]
        except BlockingIOError:
            pass
        except OSError as error:
            self._out = memoryview(b"")
            self._loop.call_soon(self._broken, error)
            return
        unsent = bool(self._out)
        if unsent != self._wants:
            self._wants = unsent
            if unsent:
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)
        if not unsent and self._capture is not None and self._capture.timeline.sent_end < 0:
            self._capture.timeline.sent_end = monotonic_ns()

    # Receiving. The first function runs once a token: keep it flat.

    def _read(self) -> None:
        try:
            count, ancillary, _, _ = self._recvmsg_into(_BUFFERS, 64)
        except OSError as error:
            self._unread(error)
            return
        capture = self._capture
        if not count or capture is None:
            self._closed()
            return
        now = time_ns()
        data = _BUFFER[:count].tobytes()
        log = capture.log
        log += (data, ancillary[0][2] if ancillary else self._unstamped(capture, now), now)
        if capture.patient and count > 3 and data[-4:] != _LAST and len(log) < _MOST_LOGGED:
            return  # inside a chunked body, and not at its end
        self._settle(capture)

    def _read_tls(self) -> None:
        assert self._tls is not None
        try:
            data, ancillary, _, _ = self._recvmsg(_READ_SIZE, 64)
            now = time_ns()
            plain = self._tls.decrypt(data) if data else b""
        except OSError as error:  # SSLError is one too
            self._unread(error)
            return
        capture = self._capture
        if plain and capture is not None:
            stamp = ancillary[0][2] if ancillary else self._unstamped(capture, now)
            capture.log += (plain, stamp, now)
            self._settle(capture)
        if self._socket.fileno() < 0:
            return
        if not data or self._tls.ended or (plain and capture is None):
            self._closed()
            return
        reply = self._tls.outgoing()
        if reply:
            self._transmit(reply)

    def _settle(self, capture: ResponseCapture) -> None:
        """Parse what was read, and see whether that was all."""
        try:
            capture.settle()
        except Exception as error:  # whatever httptools raises: the answer can't be read on
            self._end(failure_of(error))
            return
        if capture.complete:
            self._end(None)
        elif len(capture.payload) >= _SHIP_AT:
            self._owner.fragment(capture.timeline.index, capture.take())

    def _unstamped(self, capture: ResponseCapture, now: int) -> bytes:
        """The first reads of a connection can lack the kernel's stamp; the time of the read stands in."""
        capture.timeline.unstamped += 1
        return pack_stamp(now)

    def _unread(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._broken(error)

    # Ending.

    def _closed(self) -> None:
        """The server closed its side, or spoke without being asked."""
        capture = self._capture
        if capture is None:
            self.close()
            self._owner.dropped(self)
            return
        self._settle(capture)
        if self._capture is not capture:  # it had all come; whoever uses the connection next notices
            return
        capture.end_of_stream()
        words = "the server closed the connection" + ("" if capture.reads else " without a byte of answer")
        self._end(None if capture.complete else Failure("truncated", words))

    def _broken(self, error: Exception) -> None:
        if self._capture is not None:
            self.cancel(failure_of(error))
        elif self._socket.fileno() >= 0:
            self.close()
            self._owner.dropped(self)

    def cancel(self, failure: Failure) -> None:
        """Give up the request in flight: its timeline ends with `failure`, unless its end has been read already."""
        capture = self._capture
        if capture is not None:
            self._settle(capture)
            if self._capture is capture:
                self._end(failure)

    def _end(self, failure: Failure | None) -> None:
        capture = self._capture
        assert capture is not None
        self._capture = None
        self.usable = failure is None and capture.keep_alive and not self._out
        if not self.usable:
            self.close()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None
        timeline = capture.finish()
        timeline.end = monotonic_ns()
        timeline.failure = failure
        stale = self.carried > 1 and not timeline.reads and failure is not None and failure.kind == "truncated"
        self._owner.ended(self, timeline, capture.request if stale else b"")

    def close(self) -> None:
        """Close the socket; nothing more is reported."""
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._intake.remove(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    # Time limits.

    def _arm(self, wait: int) -> None:
        self._timer = self._loop.call_later(max(wait, 1_000_000) / SECOND, self._check_limits)

    def _check_limits(self) -> None:
        capture = self._capture
        self._timer = None
        if capture is not None:
            self._settle(capture)
        if capture is None or self._capture is not capture:
            return
        since_read = time_ns() - capture.reads[-1] if capture.has_body else None
        failure, wait = judge(self._limits, monotonic_ns() - capture.timeline.sent, since_read)
        if failure is not None:
            self._end(failure)
        else:
            self._arm(wait)
