"""One client's connection: a non-blocking socket, what came in and is not read yet, what is to go out and can't yet."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from loadgen.mock.http import JSON, response
from loadgen.mock.poller import IN, OUT, Poller

if TYPE_CHECKING:
    from loadgen.mock.grpc import Session
    from loadgen.mock.stream import AnswerStream

_READ: Final = 64 << 10
_WAIT: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class ClientConnection:
    """A socket with its two buffers. `alive` turns False for good when the peer is found gone."""

    __slots__ = ("alive", "closing", "out", "pending", "poller", "session", "shaking", "sock", "stream")

    grpc = False

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_CONGESTION"):  # BBR would pace: it holds packets back after their write was stamped
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        self.sock, self.poller = sock, poller
        self.pending = b""
        self.out = bytearray()
        self.stream: AnswerStream | None = None
        self.session: Session | None = None  # HTTP/2, once the client has begun to speak that
        self.alive = True
        self.closing = False  # close as soon as `out` is empty
        self.shaking = isinstance(sock, ssl.SSLSocket)
        poller.register(sock.fileno(), IN)

    def reply(self, status: int, body: bytes, headers: Mapping[str, str], content_type: str = JSON) -> None:
        """Answer in one piece."""
        self.write(response(status, body, headers, content_type))

    def write(self, data: bytes) -> bool:
        """Hand `data` to the kernel, or keep what it does not take; False if the peer is gone."""
        if self.out:
            self.out += data
            return True
        try:
            sent = self.sock.send(data)
        except _WAIT:
            sent = 0
        except OSError:
            self.alive = False
            return False
        if sent < len(data):
            self.out += memoryview(data)[sent:]
            self.poller.modify(self.sock.fileno(), IN | OUT)
        return True

    def flush(self) -> None:
        """Send what was kept, now that the kernel takes more."""
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
        except _WAIT:
            return
        except OSError:
            self.alive = False
            return
        self.poller.modify(self.sock.fileno(), IN)

    def read(self) -> None:
        """Read what is there into `pending`; `alive` is False after the peer's end."""
        try:
            if self.shaking:
                self.sock.do_handshake()  # type: ignore[attr-defined]
                self.shaking = False
            while True:
                data = self.sock.recv(_READ)
                self.pending += data
                if not data:
                    self.alive = False
                    return
                if len(data) < _READ and not isinstance(self.sock, ssl.SSLSocket):
                    return
        except _WAIT:
            return
        except OSError:
            self.alive = False

    def close(self, reset: bool = False) -> None:
        """Close with a FIN, or with a RST."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.poller.unregister(self.sock.fileno())
        self.sock.close()
        self.alive = False


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes a free one. Raise OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(65_535)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
