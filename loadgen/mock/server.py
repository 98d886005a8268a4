"""The loop: one thread that waits for sockets and for the next due instant, and nothing else."""

from __future__ import annotations

import gc
import socket
import ssl
import sys
from heapq import heappop, heapreplace
from typing import Final

from loadgen.clock import TimerFd, has_timerfd
from loadgen.mock.connection import ClientConnection, listen
from loadgen.mock.grpc import GrpcStream, Session
from loadgen.mock.http import BadRequestError, response, take
from loadgen.mock.poller import EDGE, IN, OUT, open_poller
from loadgen.mock.service import MockService
from loadgen.mock.stream import ENDED, AnswerStream
from loadgen.protocols.http2.frames import PREFACE
from loadgen.types import SECOND

_ACCEPTS: Final = 64
"""Connections taken in one turn of the loop, so that a flood of them does not hold up the due events."""


class Server:
    """Serves until stop(). Raise OSError where the address can't be had."""

    def __init__(self, service: MockService, tls: ssl.SSLContext | None = None) -> None:
        self.service = service
        self.listener = listen(service.settings.host, service.settings.port)
        self.tls = tls
        self.poller = open_poller()
        self.connections: dict[int, ClientConnection] = {}
        self._stopping = False
        self._waker, self._wake = socket.socketpair()
        self._waker.setblocking(False)
        self._wake.setblocking(False)
        self._timer = TimerFd() if has_timerfd() else None
        self._armed = 0
        self._gather = service.settings.gather

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"http{'s' if self.tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"

    def stop(self) -> None:
        """End the loop; may be called from a signal handler or another thread."""
        self._stopping = True
        self._wake.send(b"x")

    def run(self) -> None:
        """Serve until stop() is called, or until standard input ends where the settings say so."""
        self.poller.register(self.listener.fileno(), IN)
        self.poller.register(self._waker.fileno(), IN)
        stdin = sys.stdin.fileno() if self.service.settings.stop_with_stdin else -1
        if stdin >= 0:
            self.poller.register(stdin, IN)
        if self._timer is not None:  # edge-triggered: firing again is an event of its own, so it need not be read
            self.poller.register(self._timer.fileno(), IN | EDGE)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            while not self._stopping:
                self._turn(stdin)
        finally:
            self._close()

    def _turn(self, stdin: int) -> None:
        """Send what is due, wait, serve what came."""
        self._fire()
        connections = self.connections
        for fd, event in self.poller.poll(self._timeout()):
            connection = connections.get(fd)
            if connection is not None:
                if event & OUT:
                    connection.flush()
                    if not connection.alive or (connection.closing and not connection.out):
                        self._drop(connection)
                        continue
                if event & ~OUT:
                    self._readable(connection)
            elif fd == self.listener.fileno():
                self._accept()
            elif fd == stdin and not sys.stdin.buffer.raw.read(4096):  # type: ignore[union-attr]
                self._stopping = True

    def _timeout(self) -> float:
        """Arm the timer for the next due instant; give back the seconds to wait where there is no timer.

        It never sleeps for less than `gather`: arming a timer and waking up cost more than sending does, so what falls
        due in the meantime goes out together. Events are late by as much at most, and never early.
        """
        heap = self.service.pacer.heap
        if not heap:
            return -1
        due = heap[0][0]
        if self._timer is None:
            return max(0.0, (due - self.service.clock()) / SECOND)
        if due != self._armed:
            self._timer.arm(max(due, self.service.clock() + self._gather))
            self._armed = due
        return -1

    def _fire(self) -> None:
        """Send every event that is due; the next one of a stream is due by the schedule, however late this one was."""
        heap = self.service.pacer.heap
        until = self.service.clock()
        while heap and heap[0][0] <= until:
            due, number, stream = heap[0]
            if stream.gone:
                heappop(heap)
                continue
            following = stream.step(due)
            if following > 0:
                heapreplace(heap, (following, number, stream))
                continue
            heappop(heap)
            if following == ENDED and isinstance(stream, AnswerStream):
                self._ended(stream, due)

    def _ended(self, stream: AnswerStream, due: int) -> None:
        written = stream.connection
        connection = written.session.connection if isinstance(written, GrpcStream) else written
        assert isinstance(connection, ClientConnection)  # there is nothing else that a Server reads from
        if not connection.alive:
            self._drop(connection)
            return
        if isinstance(written, GrpcStream):
            written.stream = None
            self.service.finish(stream, due)
            written.end(stream.hang_up)
            return
        connection.stream = None
        self.service.finish(stream, due)
        if stream.hang_up == "reset":
            self._drop(connection, reset=True)
        elif stream.hang_up or not stream.keep_alive:
            self._finish(connection)
        else:
            self._requests(connection)

    def _finish(self, connection: ClientConnection) -> None:
        """Close once everything is sent."""
        connection.closing = True
        if not connection.out:
            self._drop(connection)

    def _readable(self, connection: ClientConnection) -> None:
        connection.read()
        if connection.alive:
            self._requests(connection)
        if not connection.alive:
            self._drop(connection)

    def _requests(self, connection: ClientConnection) -> None:
        """Take the requests that are whole, one after the other; a session of HTTP/2 takes all that has come."""
        unary = getattr(self.service.dialect, "unary", None)
        if connection.session is None and unary is not None and connection.pending.startswith(PREFACE[:3]):
            connection.session = Session(connection, self.service, unary)
        if connection.session is not None:
            data, connection.pending = connection.pending, b""
            connection.session.feed(data)
            return
        while connection.pending and connection.stream is None and not connection.closing and connection.alive:
            try:
                taken = take(connection.pending)
            except BadRequestError as error:
                body = self.service.dialect.error(error.status, str(error))
                connection.write(response(error.status, body, {"Connection": "close"}))
                self._finish(connection)
                return
            if taken is None:
                return
            head, body, length = taken
            connection.pending = connection.pending[length:]
            self.service.handle(head, body, connection)
            if connection.closing:
                self._finish(connection)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            if self.tls is not None:
                sock.setblocking(False)
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self.connections[sock.fileno()] = ClientConnection(sock, self.poller)
            self.service.truth.totals["connections"] += 1

    def _drop(self, connection: ClientConnection, reset: bool = False) -> None:
        """Close a connection, and abandon what was still being sent on it."""
        fd = connection.sock.fileno()
        if fd < 0:
            return
        del self.connections[fd]
        stream, connection.stream = connection.stream, None
        connection.close(reset)
        if connection.session is not None:
            connection.session.abandon()
        if stream is not None:
            self.service.abandon(stream)

    def _close(self) -> None:
        for connection in list(self.connections.values()):
            self._drop(connection)
        for closed in (self.listener, self._waker, self._wake, self.poller, self._timer):
            if closed is not None:
                closed.close()
