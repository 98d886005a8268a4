"""Opening a connection without blocking: socket, kernel stamps, TCP connect, TLS handshake."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from time import monotonic_ns

from loadgen.protocols.http.address import Address
from loadgen.protocols.http.tls import TlsLayer
from loadgen.types import ABSENT, SECOND, Failure

_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; Python does not name it


def ask_for_stamps(sock: socket.socket) -> bool:
    """Ask the kernel to stamp what arrives; false where it can't."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


class Dial:
    """One attempt to connect. Calls `done(self, failure)` once; `failure` is None if `socket` is ready to use."""

    __slots__ = ("_address", "_began", "_done", "_limit", "_loop", "_timer", "connect_time", "socket", "tls",
                 "tls_time")

    def __init__(self, loop: AbstractEventLoop, address: Address, context: ssl.SSLContext | None, limit: int,
                 done: Callable[[Dial, Failure | None], None]) -> None:
        self._loop = loop
        self._address = address
        self._limit = limit
        self._done = done
        self._timer: TimerHandle | None = None
        self.tls = TlsLayer(context, address.server_name) if context else None
        self.connect_time = ABSENT
        self.tls_time = ABSENT
        self.socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to connect; `done` is never called before this returns."""
        self._began = monotonic_ns()
        try:
            self.socket = sock = socket.socket(self._address.family, socket.SOCK_STREAM)
        except OSError as error:
            self._loop.call_soon(self._finish, open_failure(error.errno))
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_stamps(sock)
        code = sock.connect_ex(self._address.sockaddr)
        if code not in (0, errno.EINPROGRESS, errno.EAGAIN):
            self._loop.call_soon(self._finish, open_failure(code))
            return
        self._loop.add_writer(sock, self._connected)
        if self._limit:
            self._timer = self._loop.call_later(self._limit / SECOND, self._give_up)

    def cancel(self) -> None:
        """Stop without calling `done`."""
        self._done = lambda dial, failure: None
        self._finish(Failure("connect", "given up"))

    def _give_up(self) -> None:
        self._finish(Failure("timeout", f"connect: no connection within {self._limit / SECOND:g} s", "connect"))

    def _connected(self) -> None:
        assert self.socket is not None
        self._loop.remove_writer(self.socket)
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._finish(open_failure(code))
            return
        self.connect_time = monotonic_ns() - self._began
        if self.tls is None:
            self._finish(None)
            return
        self._loop.add_reader(self.socket, self._shake)
        self._shake()

    def _shake(self) -> None:
        """Take the TLS handshake one step further."""
        assert self.tls is not None and self.socket is not None
        try:
            done = self.tls.handshake(self._receive())
            self.socket.sendall(self.tls.outgoing())  # a few hundred bytes into an empty buffer
        except (ssl.SSLError, ssl.CertificateError, OSError) as error:
            self._finish(Failure("tls", tls_reason(error)))
            return
        if done:
            self.tls_time = monotonic_ns() - self._began - self.connect_time
            self._finish(None)

    def _receive(self) -> bytes | None:
        assert self.socket is not None
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection in the TLS handshake")
        return data

    def _finish(self, failure: Failure | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.socket is not None:
            self._loop.remove_writer(self.socket)
            self._loop.remove_reader(self.socket)
            if failure is not None:
                self.socket.close()
                self.socket = None
        done, self._done = self._done, _already_done
        done(self, failure)


def _already_done(dial: Dial, failure: Failure | None) -> None:
    """Takes the place of the callback once it was called."""


def open_failure(code: int | None) -> Failure:
    """Name a failed connect by its errno; running out of file descriptors says what to do about it."""
    if code in (errno.EMFILE, errno.ENFILE):
        return Failure("connect", "too few file descriptors: run `ulimit -n 65536` first, or lower --max-in-flight",
                       "EMFILE")
    name = errno.errorcode.get(code or 0, "")
    return Failure("connect", os.strerror(code) if code else "can't connect", name)


def tls_reason(error: Exception) -> str:
    """The reason of a failed handshake, with the flag that answers it where there is one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}: give the right --ca, or --insecure to skip the check"
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or error}: does the server speak TLS on this port?"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
